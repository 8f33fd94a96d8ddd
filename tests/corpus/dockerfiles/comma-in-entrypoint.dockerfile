FROM scratch
ENTRYPOINT ["shop", "--port", "80", ]
