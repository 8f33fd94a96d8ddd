FROM scratch
COPY --exclude=*.md --exclude=sub . /x/
