FROM debian:trixie
RUN ["echo", "<<EOF"]
USER real
