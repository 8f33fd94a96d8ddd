FROM scratch
VOLUME /a /b
VOLUME ["/c", "/d e"]
EXPOSE 80 443/tcp 53/udp
