"""What packages make up at random when they are installed, and what no two machines may therefore share.

A build installs once and its image boots many times, so each of these is left out of the image, and a unit makes it
anew on the first boot. What their own software makes when it starts, and the rest of the machine's identity, are rows
of `dropped.DROPPED`; docs/identities.md lists all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Identity:
    """Files that a package made at random, and how they are made again."""

    name: str
    what: str
    """In words that follow 'Make'."""
    files: tuple[str, ...]
    """The first decides for all: where it is a layer's own, the others stay too."""
    needs: str
    """The program that makes them; it comes with the package."""
    script: str
    """For `sh -e`, with no single quote in it. Killed at any moment, it makes the rest the next time."""
    packaged: bytes = b""
    """An expression that the first file holds where the package made it; a layer's own, without it, stays."""

    def is_packaged(self, content: bytes) -> bool:
        """Whether the first file is the package's work, and not what a layer put in its place."""
        return not self.packaged or re.search(self.packaged, content, re.MULTILINE) is not None

    @property
    def unit(self) -> str:
        return f"metallize-{self.name}.service"

    @property
    def text(self) -> str:
        """The unit's file (systemd.service(5): `$` and `%` are doubled)."""
        script = self.script.replace("%", "%%").replace("$", "$$")
        conditions = "".join(f"ConditionFileNotEmpty=|!/{file}\n" for file in self.files)
        return UNIT.format(what=self.what, conditions=conditions, script=script)


UNIT = """\
[Unit]
Description=Make {what} of this machine
DefaultDependencies=no
After=local-fs.target systemd-remount-fs.service systemd-tmpfiles-setup.service
Before=sysinit.target shutdown.target
Conflicts=shutdown.target
{conditions}
[Service]
Type=oneshot
RemainAfterExit=yes
Environment=DEBIAN_FRONTEND=noninteractive HOME=/root
ExecStart=/bin/sh -ec '{script}'

[Install]
WantedBy=sysinit.target
"""

SNAKEOIL = "ssl-cert-snakeoil.pem"
"""A link in /etc/ssl/certs that leads to it is called by the certificate's hash, and goes with it."""

IDENTITIES = (
    Identity(
        name="ssl-cert",
        what="the self-signed certificate",
        files=("etc/ssl/private/ssl-cert-snakeoil.key", f"etc/ssl/certs/{SNAKEOIL}"),
        needs="usr/sbin/make-ssl-cert",
        script="make-ssl-cert generate-default-snakeoil --force-overwrite",
    ),
    Identity(
        name="nvme-host",
        what="the NVMe host's name and id",
        files=("etc/nvme/hostnqn", "etc/nvme/hostid"),
        needs="usr/sbin/nvme",
        # One names the other: NVMe Base Specification 2.0, 4.5.1 and 5.27.1.25; a layer's own name may be without one.
        script=(
            "cd /etc/nvme; "
            "if [ ! -s hostnqn ]; then read -r id </proc/sys/kernel/random/uuid; "
            'echo "nqn.2014-08.org.nvmexpress:uuid:$id" >.hostnqn; rm -f hostid; mv .hostnqn hostnqn; fi; '
            "if [ ! -s hostid ]; then "
            'grep -Eo "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$" hostnqn >.hostid '
            "|| cat /proc/sys/kernel/random/uuid >.hostid; mv .hostid hostid; fi"
        ),
        packaged=rb"^nqn\.2014-08\.org\.nvmexpress:uuid:",
    ),
    Identity(
        name="rndc-key",
        what="the key of the name server's control channel",
        files=("etc/bind/rndc.key",),
        needs="usr/sbin/rndc-confgen",
        script=(
            "cd /etc/bind; rm -f .rndc.key; rndc-confgen -a -c /etc/bind/.rndc.key; "
            "chown bind:bind .rndc.key; chmod 640 .rndc.key; mv .rndc.key rndc.key"
        ),
        packaged=rb'^key "rndc-key"',
    ),
)


@dataclass(slots=True)
class Forgetting:
    """What an image is relieved of, noted while its files pass by in any order."""

    withheld: dict[str, bytes] = field(default_factory=dict)
    """Files that were taken out, with their content."""
    kept: set[str] = field(default_factory=set)
    """Names of identities that a layer chose."""

    def knows(self, name: str) -> bool:
        """Whether a file of this path may be an identity, so that `takes` wants to see it."""
        return name in _OF_FILE

    def takes(self, name: str, content: bytes) -> bool:
        """Whether a file is to be left out for now; what is back in the end is in `given_back`."""
        identity = _OF_FILE[name]
        if name == identity.files[0] and not identity.is_packaged(content):
            self.kept.add(identity.name)
            return False
        self.withheld[name] = content
        return True

    def takes_link(self, name: str, target: str) -> bool:
        """Whether a symbolic link is one that leads by its hash to the certificate that is left out."""
        return target == SNAKEOIL and re.fullmatch(r"etc/ssl/certs/[0-9a-f]{8}\.\d+", name) is not None

    def given_back(self) -> Iterator[tuple[str, bytes]]:
        """Files that belong to an identity of a layer's own choice."""
        for name, content in self.withheld.items():
            if _OF_FILE[name].name in self.kept:
                yield name, content

    def forgotten(self) -> tuple[Identity, ...]:
        """The identities that are gone from the image."""
        names = {_OF_FILE[name].name for name in self.withheld} - self.kept
        return tuple(identity for identity in IDENTITIES if identity.name in names)

    def notes(self, has: Callable[[str], bool]) -> Iterator[str]:
        """What a person who builds should know; `has` says whether a path is in the rootfs."""
        gone = self.forgotten()
        if made := [identity.what for identity in gone if has(identity.needs)]:
            yield f"made anew on the first boot of each machine: {', '.join(made)}"
        for identity in gone:
            if not has(identity.needs):
                files = " and ".join(f"/{file}" for file in identity.files)
                yield (
                    f"WARNING: {files} are left out, because no two machines may share them, and nothing makes them "
                    f"anew: the rootfs has no /{identity.needs}"
                )


_OF_FILE = {file: identity for identity in IDENTITIES for file in identity.files}
