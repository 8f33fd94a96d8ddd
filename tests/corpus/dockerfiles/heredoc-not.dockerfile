FROM debian:trixie
RUN cat <<<word
RUN echo "a <<EOF b"
RUN echo $((1<<3))
RUN [ 1 -lt 2 ] && echo 'x<<y'
USER real
