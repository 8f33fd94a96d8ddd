FROM scratch AS alpine
ENV A=1
FROM alpine
ENV B=2
