# syntax=docker/dockerfile:1
# check=skip=all
# escape=\
FROM scratch
ENV A=1
