FROM debian:trixie
RUN cat <<EOF
never ends
