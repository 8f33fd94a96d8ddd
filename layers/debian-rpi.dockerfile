# Debian on a Raspberry Pi 3 or 4: kernel, the Pi's firmware, systemd, the time from the network, and the tools that
# check and grow its root filesystem.
# supports: debian:13
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# The kernel's package: linux-image-arm64, linux-image-rt-arm64.
ARG METALLIZE_KERNEL_PACKAGE=linux-image-arm64
# raspi-firmware is in the component non-free-firmware, which is added to whatever archive the base names. Its hooks
# ask the running system for its root, which is no Pi here: the generator writes config.txt and cmdline.txt.
# INITRD=No: the initrd is made once, when every layer is in place.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    rm -f /etc/apt/apt.conf.d/docker-clean \
 && for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources; do \
      if [ -e "$file" ] && ! grep -q non-free-firmware "$file"; then \
        sed -i -E '/^(deb |Components:)/s/$/ non-free-firmware/' "$file"; \
      fi; \
    done \
 && apt-get update \
 && INITRD=No DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      "${METALLIZE_KERNEL_PACKAGE}" raspi-firmware initramfs-tools zstd fdisk e2fsprogs dosfstools \
      systemd-sysv systemd-timesyncd udev dbus kmod procps iproute2 login less linux-sysctl-defaults
