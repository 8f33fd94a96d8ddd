# Public SSH keys of a user, who logs in with one of them and needs no password.
#
# Where no layer below has made the user, this one does: with no password at all, and sudo that asks for none.
# supports: debian:12 debian:13 ubuntu:20.04 ubuntu:22.04 ubuntu:24.04
ARG METALLIZE_SRC_IMG
FROM ${METALLIZE_SRC_IMG}
# The keys as their .pub files hold them, one after the other, with blanks or line breaks of a `>-` between them.
ARG METALLIZE_AUTHORIZED_KEYS=
# The user whose keys they are; admin-user.dockerfile takes the same argument.
ARG METALLIZE_ADMIN_USER=admin
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=tmpfs,target=/run/metallize-keys \
    refuse() { echo "authorized-keys: $1" >&2; exit 1; } \
 && user=${METALLIZE_ADMIN_USER} keys=/run/metallize-keys/keys one=/run/metallize-keys/one \
 && printf '%s' "${METALLIZE_AUTHORIZED_KEYS}" | tr -s ' ' '\n' \
      | awk '/^(sk-)?(ssh|ecdsa)-[a-z0-9@.-]+$/ { printf "%s%s", (n++ ? "\n" : ""), $0; next } \
          !n { exit 1 } { printf " %s", $0 } END { if (n) print "" }' >"$keys" \
 && [ -s "$keys" ] || refuse "args.authorized_keys names no key" \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends openssh-client sudo passwd \
 && while IFS= read -r key; do \
      printf '%s\n' "$key" >"$one"; \
      ssh-keygen -l -f "$one" </dev/null || refuse "this is no public key: $key"; \
    done <"$keys" \
 && if ! getent passwd "$user" >/dev/null; then \
      useradd --create-home --shell /bin/bash --groups sudo "$user" \
      && printf '%s ALL=(ALL:ALL) NOPASSWD:ALL\n' "$user" >/etc/sudoers.d/90-authorized-keys \
      && chmod 440 /etc/sudoers.d/90-authorized-keys; \
    fi \
 && home=$(getent passwd "$user" | cut -d : -f 6) \
 && install -d -m 700 -o "$user" -g "$(id -gn "$user")" "$home/.ssh" \
 && cat "$keys" >>"$home/.ssh/authorized_keys" \
 && chown "$user:" "$home/.ssh/authorized_keys" \
 && chmod 600 "$home/.ssh/authorized_keys"
