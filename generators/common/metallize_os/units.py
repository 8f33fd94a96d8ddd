"""What the conversion adds for systemd: the unit that makes SSH host keys on the first boot, and a preset."""

from __future__ import annotations

HOST_KEYS_UNIT = r"""[Unit]
Description=Make the SSH host keys of this machine
Documentation=man:ssh-keygen(1)
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service
Before=ssh.service sshd.service sshd-keygen.service shutdown.target
Conflicts=shutdown.target
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=/etc/ssh
# An RSA key takes a small machine many seconds of its first boot, and no client needs it beside these two.
# Where sshd's configuration names its keys, every kind is made.
ExecStart=/bin/sh -ec '\
  if grep -Eiqrs "^[[:space:]]*HostKey[[:space:]]" sshd_config sshd_config.d; then exec ssh-keygen -A; fi; \
  for key in ssh_host_ecdsa_key ssh_host_ed25519_key; do \
    [ ! -e $$key ] || continue; \
    type=$${key#ssh_host_}; \
    rm -f .$$key .$$key.pub; \
    ssh-keygen -q -t $${type%%_key} -N "" -f .$$key; \
    mv .$$key.pub $$key.pub; \
    mv .$$key $$key; \
  done'

[Install]
WantedBy=multi-user.target ssh.service
"""

HOST_KEYS_ONCE = """\
# The distribution's own unit makes an RSA key too, wherever one is missing: metallize-ssh-host-keys.service has been.
[Unit]
ConditionPathExists=!/etc/ssh/ssh_host_ed25519_key
"""

PRESET = """\
# The layers decided which units are enabled. On a first boot systemd applies its presets, whose default
# enables every unit; this keeps what the layers decided.
{verb} *
"""
