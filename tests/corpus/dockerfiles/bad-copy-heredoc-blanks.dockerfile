FROM scratch
COPY <<"END OF FILE" /etc/motd
x
END OF FILE
