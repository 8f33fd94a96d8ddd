FROM scratch
COPY "a" '/quoted'
