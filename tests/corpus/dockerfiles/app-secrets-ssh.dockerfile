# syntax=docker/dockerfile:1
FROM alpine:3.20
RUN --mount=type=ssh,required=true git clone git@example.org:team/repo.git
RUN --mount=type=secret,id=token,target=/run/token cat /run/token | sha256sum
