FROM scratch
ARG NEEDED
ENV A=${NEEDED:?missing}
