ARG TAG
FROM scratch AS x
ARG TAG=3
ENV V=${TAG:-none} W=${NONE:-none} X=${TAG:+set} Y=${NONE:+set}
