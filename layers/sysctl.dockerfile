# Kernel settings that are written on every boot (sysctl.d).
# supports: debian:12 debian:13 ubuntu:20.04 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# The settings, NAME=VALUE each, with blanks between them; a word with no `=` still belongs to the value before it.
ARG METALLIZE_SYSCTL="net.core.somaxconn=4096 net.core.netdev_max_backlog=16384 net.core.rmem_max=16777216 net.core.wmem_max=16777216"
RUN mkdir -p /etc/sysctl.d \
 && echo "${METALLIZE_SYSCTL}" | sed -E 's/^ +| +$//g; s/ +([^ =]+=)/\n\1/g' >/etc/sysctl.d/90-metallize.conf \
 && if grep -Evn '^-?[A-Za-z0-9_*.:/-]+=[^ =]' /etc/sysctl.d/90-metallize.conf >&2; then \
      echo 'sysctl: the line above is not NAME=VALUE' >&2; \
      exit 1; \
    fi
