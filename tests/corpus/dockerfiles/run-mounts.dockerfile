FROM debian:trixie AS base
FROM base
RUN --mount=type=bind,from=base,source=/etc,target=/mnt \
    --mount=type=bind,source=sub,target=/sub,rw \
    --mount=target=/ctx \
    --mount=type=tmpfs,target=/tmp \
    ls /mnt /sub /ctx
