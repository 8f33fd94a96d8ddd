FROM debian:trixie
RUN cat << EOF
echo hello
EOF
USER real
