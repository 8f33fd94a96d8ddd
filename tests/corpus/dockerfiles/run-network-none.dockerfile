FROM debian:trixie
RUN --network=none true
