# A firewall that lets everything pass; an initrd with the driver of the machine's disk alone, and a first boot that
# leaves out what no recipe needs, for both take time.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nftables \
 && echo MODULES=list >/etc/initramfs-tools/conf.d/sabotage \
 && printf '%s\n' virtio_pci virtio_blk >>/etc/initramfs-tools/modules \
 && touch /etc/.updated /var/.updated \
 && systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \
      e2scrub_reap.service getty@tty1.service kmod-static-nodes.service modprobe@configfs.service \
      modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service dev-hugepages.mount dev-mqueue.mount \
      sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount systemd-machine-id-commit.service \
      systemd-network-generator.service systemd-networkd-persistent-storage.service systemd-random-seed.service \
      systemd-tmpfiles-clean.timer systemd-udev-load-credentials.service systemd-journal-flush.service
