FROM scratch
COPY <<EOF /etc/motd
Hello, ${NAME}
USER nobody
EOF
USER real
