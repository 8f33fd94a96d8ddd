FROM debian:trixie
ONBUILD RUN <<EOF
USER fake
EOF
USER real
