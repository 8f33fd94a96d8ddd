# What Debian 13 takes an image from a release's server with; that server's transfer and key, as its user copies them.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends systemd-container gpg
COPY web.transfer /etc/sysupdate.d/web.transfer
COPY import-pubring.gpg /etc/systemd/import-pubring.gpg
