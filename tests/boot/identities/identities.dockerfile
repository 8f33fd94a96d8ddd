# Packages that make up an identity when they are installed.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# NetworkManager leaves the cards to networkd, and nobody looks for disks on a network that leads nowhere.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ssl-cert openssl nvme-cli open-iscsi bind9 bind9-utils network-manager dbus systemd-sysv \
 && printf '[keyfile]\nunmanaged-devices=interface-name:e*\n' >/etc/NetworkManager/conf.d/10-leave.conf \
 && systemctl disable NetworkManager-wait-online nvmf-autoconnect nvmefc-boot-connections \
 && mkdir -p /var/lib/NetworkManager /var/lib/systemd \
 && echo made-in-the-build | tee /var/lib/NetworkManager/secret_key /var/lib/systemd/random-seed \
      >/var/lib/systemd/credential.secret
