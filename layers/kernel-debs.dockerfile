# Your own kernel, from .deb files that a layer below has put into a folder: what `make bindeb-pkg` makes, or a vendor's.
# supports: debian:12 debian:13 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# The folder that the layer below copied the .deb files to; all of them are installed, and the folder is removed.
ARG METALLIZE_KERNEL_DEBS=/var/tmp/kernel
# Another kernel in the image would be booted instead wherever it is newer, so there may be none. The initrd is made
# once, when every layer is in place.
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    refuse() { echo "kernel-debs: $1" >&2; exit 1; } \
 && for old in /boot/vmlinuz-*; do \
      if [ -e "$old" ]; then \
        refuse "there is a kernel already (${old#/boot/vmlinuz-}): say \`args: {kernel_package: none}\` in the profile"; \
      fi; \
    done \
 && mine=$(dpkg --print-architecture) \
 && set -- "${METALLIZE_KERNEL_DEBS}"/*.deb \
 && [ -e "$1" ] || refuse "no .deb in ${METALLIZE_KERNEL_DEBS}: a layer below must copy them there (COPY *.deb ${METALLIZE_KERNEL_DEBS}/)" \
 && for deb in "$@"; do \
      built=$(dpkg-deb --field "$deb" Architecture) || refuse "${deb##*/} is no Debian package"; \
      case "$built" in all | "$mine") ;; *) refuse "${deb##*/} is made for $built, the image is $mine" ;; esac; \
    done \
 && apt-get update \
 && INITRD=No DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" \
 && rm -rf "${METALLIZE_KERNEL_DEBS}" \
 && set -- /boot/vmlinuz-* \
 && [ -e "$1" ] || refuse "none of the packages brought a kernel (/boot/vmlinuz-*): the linux-image package is missing" \
 && for kernel in "$@"; do \
      version=${kernel#/boot/vmlinuz-}; \
      [ -d "/lib/modules/$version" ] || refuse "there is no /lib/modules/$version: the package with its modules is missing"; \
    done
