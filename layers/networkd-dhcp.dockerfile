# Networking by systemd-networkd and systemd-resolved: DHCP on every wired interface.
# supports: debian:12 debian:13 ubuntu:20.04 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
 && if apt-cache show systemd-resolved >/dev/null 2>&1; then \
      DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends systemd-resolved; \
    fi \
 && printf '%s\n' '[Match]' 'Name=e*' '[Network]' 'DHCP=yes' >/etc/systemd/network/80-wired.network \
 && systemctl enable systemd-networkd systemd-resolved
