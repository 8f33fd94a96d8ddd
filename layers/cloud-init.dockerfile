# First-boot configuration by cloud-init: users, keys, hostname, network and files from the cloud's user data.
# supports: debian:12 debian:13 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# Where user data is looked for, in this order (cloud-init's data sources).
ARG METALLIZE_DATASOURCES="NoCloud, ConfigDrive, OpenStack, Ec2, GCE, Azure, None"
# The user that a key or password of the user data belongs to where it names none.
ARG METALLIZE_CLOUD_USER=debian
# The network is cloud-init's too: netplan renders what the cloud says, or DHCP on every wired interface.
# No RSA host key, which takes a small machine many seconds of its first boot and which no client needs beside these.
# Passwords over SSH stay refused unless the user data asks for them; the root is grown by the disk's own unit.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
 && resolved=$(apt-cache show systemd-resolved >/dev/null 2>&1 && echo systemd-resolved || true) \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      cloud-init netplan.io sudo ${resolved} \
 && printf '%s\n' \
      "datasource_list: [${METALLIZE_DATASOURCES}]" \
      'ssh_pwauth: false' \
      'ssh_genkeytypes: [ed25519, ecdsa]' \
      'growpart: {mode: "off"}' \
      'resize_rootfs: false' \
      'system_info:' \
      '  default_user:' \
      "    name: ${METALLIZE_CLOUD_USER}" \
      '    lock_passwd: true' \
      '    groups: [adm, sudo]' \
      '    sudo: ["ALL=(ALL) NOPASSWD:ALL"]' \
      '    shell: /bin/bash' >/etc/cloud/cloud.cfg.d/90-metallize.cfg \
 && printf 'PasswordAuthentication no\n' >/etc/ssh/sshd_config.d/50-no-passwords.conf \
 && systemctl enable systemd-networkd systemd-resolved
