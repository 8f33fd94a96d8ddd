# Everything that a build leaves behind or a careless tool chain loses on the way from a container to an OS.
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      attr iputils-ping libcap2-bin fdisk e2fsprogs cron
# What docker's own base images and engines leave.
RUN printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d \
 && echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };' >/etc/apt/apt.conf.d/docker-clean \
 && echo 'Acquire::GzipIndexes "true";' >/etc/apt/apt.conf.d/docker-gzip-indexes \
 && echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/docker-apt-speedup \
 && touch /.dockerenv && mkdir -p /var/lib/systemd && echo seed >/var/lib/systemd/random-seed \
 && echo 0123456789abcdef0123456789abcdef >/etc/machine-id \
 && echo left >/tmp/left && mkdir -p /run/left
# What must survive: capabilities, setuid, hard links, extended attributes, owners and odd names.
RUN cp /usr/bin/ping /usr/local/bin/capping && chmod 0755 /usr/local/bin/capping \
 && setcap cap_net_raw+ep /usr/local/bin/capping \
 && cp /usr/bin/id /usr/local/bin/suid-id && chmod 4755 /usr/local/bin/suid-id \
 && mkdir -p /srv/kept && cd /srv/kept \
 && echo one >first && ln first second && setfattr -n user.colour -v blue first \
 && echo owned >owned && chown 12345:54321 owned && chmod 0640 owned \
 && echo naïve >'naïve file' && ln -s 'naïve file' link && mkfifo pipe
# A unit that a layer disabled must stay so on a first boot, which applies systemd's presets.
RUN systemctl disable cron.service
# What systemd makes on a first boot, of what is new in /usr: the build has made it.
RUN echo 'u courier - "Carries letters"' >/usr/lib/sysusers.d/courier.conf \
 && mkdir -p /opt/letters && cp /usr/lib/x86_64-linux-gnu/libresolv.so.2 /opt/letters/ \
 && echo /opt/letters >/etc/ld.so.conf.d/letters.conf
# A layer's own COPY of what docker binds over wins.
COPY etc/ /etc/
# A container's runtime configuration: it must harm neither the layers above nor the system.
ENV LD_DEBUG_OUTPUT=/nowhere
WORKDIR /srv
USER 12345
ENTRYPOINT ["/bin/false"]
