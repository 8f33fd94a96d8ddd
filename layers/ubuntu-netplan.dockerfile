# Networking by netplan: DHCP on every wired interface.
# supports: ubuntu:20.04 ubuntu:22.04 ubuntu:24.04 debian:12 debian:13
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
 && resolved=$(apt-cache show systemd-resolved >/dev/null 2>&1 && echo systemd-resolved || true) \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends netplan.io ${resolved} \
 && mkdir -p /etc/netplan \
 && printf '%s\n' \
      'network:' \
      '  version: 2' \
      '  renderer: networkd' \
      '  ethernets:' \
      '    wired:' \
      '      match: {name: "e*"}' \
      '      dhcp4: true' >/etc/netplan/10-dhcp.yaml \
 && chmod 600 /etc/netplan/10-dhcp.yaml \
 && systemctl enable systemd-networkd systemd-resolved
