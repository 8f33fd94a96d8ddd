ARG A=outer
FROM scratch
ARG A=inner
ENV V=$A
