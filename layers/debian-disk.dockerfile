# Debian on a disk of its own: kernel, systemd, and the tools that check and grow its root filesystem.
# supports: debian:12 debian:13
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
ARG TARGETARCH
# The kernel's package: linux-image-amd64, linux-image-cloud-amd64, linux-image-rt-amd64; of arm64 where the platform is.
# `none` where kernel-debs.dockerfile brings it.
ARG METALLIZE_KERNEL_PACKAGE=linux-image-${TARGETARCH}
# INITRD=No: the initrd is made once, when every layer is in place. The sysctl defaults let users ping.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
 && apt-get update \
 && kernel=$(echo "${METALLIZE_KERNEL_PACKAGE}" | grep -vx none || true) \
 && sysctl=$(apt-cache show linux-sysctl-defaults >/dev/null 2>&1 && echo linux-sysctl-defaults || true) \
 && INITRD=No DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ${kernel} initramfs-tools zstd fdisk e2fsprogs dosfstools \
      systemd-sysv udev dbus kmod procps iproute2 login less ${sysctl}
