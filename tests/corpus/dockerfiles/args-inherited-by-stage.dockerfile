FROM scratch AS one
ARG COLOUR=red
FROM one
ENV V=$COLOUR
