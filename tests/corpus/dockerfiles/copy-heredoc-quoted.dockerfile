FROM scratch
COPY <<"EOF" /etc/motd
FROM nothing
EOF
USER real
