FROM debian:trixie
RUN cat <<EOF \
  >/x
a \
b
EOF
USER real
