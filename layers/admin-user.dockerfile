# A user with a password who may use sudo.
# supports: debian:12 debian:13 ubuntu:20.04 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# The user's name.
ARG METALLIZE_ADMIN_USER=admin
# The user's password; change it for anything that leaves your desk. Docker is told its hash only.
ARG METALLIZE_ADMIN_PASSWORD=admin
# Its hash in place of the password, as `openssl passwd -6` or `mkpasswd` prints it.
ARG METALLIZE_ADMIN_PASSWORD_HASH=
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends sudo passwd \
 && useradd --create-home --shell /bin/bash --groups sudo "${METALLIZE_ADMIN_USER}" \
 && if [ -n "${METALLIZE_ADMIN_PASSWORD_HASH}" ]; then \
      printf '%s:%s\n' "${METALLIZE_ADMIN_USER}" "${METALLIZE_ADMIN_PASSWORD_HASH}" | chpasswd --encrypted; \
    else \
      printf '%s:%s\n' "${METALLIZE_ADMIN_USER}" "${METALLIZE_ADMIN_PASSWORD}" | chpasswd; \
    fi
