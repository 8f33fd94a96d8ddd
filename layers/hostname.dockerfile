# The machine's name. /etc/hostname is a bind mount during RUN, so it is copied in from a stage of its own.
# supports: debian:12 debian:13 ubuntu:20.04 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG} AS name
# The name, a single label such as `web1`.
ARG METALLIZE_HOSTNAME=metallize
RUN mkdir -p /made \
 && printf '%s\n' "${METALLIZE_HOSTNAME}" >/made/hostname \
 && printf '127.0.0.1\tlocalhost\n127.0.1.1\t%s\n\n::1\tlocalhost ip6-localhost ip6-loopback\n' \
      "${METALLIZE_HOSTNAME}" >/made/hosts

FROM ${METALLIZE_SRC_IMG}
COPY --from=name /made/hostname /made/hosts /etc/
