FROM scratch AS one
ARG COLOUR=red
FROM scratch
ENV V=[$COLOUR]
