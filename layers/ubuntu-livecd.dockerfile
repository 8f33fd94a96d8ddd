# Ubuntu as a live system: kernel, systemd and live-boot, which mounts the squashfs under an overlayfs.
# supports: ubuntu:20.04 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# The kernel's package: linux-image-virtual is small, linux-image-generic has every driver.
# `none` where kernel-debs.dockerfile brings it.
ARG METALLIZE_KERNEL_PACKAGE=linux-image-generic
# INITRD=No: the initrd is made once, when every layer is in place.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
 && apt-get update \
 && kernel=$(echo "${METALLIZE_KERNEL_PACKAGE}" | grep -vx none || true) \
 && INITRD=No DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ${kernel} initramfs-tools live-boot live-boot-initramfs-tools zstd \
      systemd-sysv udev dbus kmod procps iproute2 login less
