"""Root filesystems as the makers of official images leave them, from a bootstrapped one.

Debian's are made by debuerreotype: its scripts debuerreotype-init, -minimizing-config, -slimify and -fixup. Ubuntu's
were made by the update.sh of docker-brew-ubuntu-core up to 16.04; later ones come whole from Canonical, with the same
settings.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

from metallize.command import run

MADE = 1_700_000_000
"""No file is younger: debuerreotype clamps times to that of the archive's snapshot."""
NAME_SERVER = "192.0.2.53"
"""Stands for the public one that debuerreotype writes down; nobody answers there."""

_POLICY = "#!/bin/sh\n# Nothing is started during `docker build`.\nexit 101\n"
_CLEAN = '"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true";'
_DOCKER: Mapping[str, str] = {
    "usr/sbin/policy-rc.d": _POLICY,
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "force-unsafe-io\n",
    "etc/apt/apt.conf.d/docker-autoremove-suggests": 'Apt::AutoRemove::SuggestsImportant "false";\n',
    "etc/apt/apt.conf.d/docker-clean": f"DPkg::Post-Invoke {{ {_CLEAN} }};\nAPT::Update::Post-Invoke {{ {_CLEAN} }};\n"
    'Dir::Cache::pkgcache "";\nDir::Cache::srcpkgcache "";\n',
    "etc/apt/apt.conf.d/docker-gzip-indexes": 'Acquire::GzipIndexes "true";\n',
    "etc/apt/apt.conf.d/docker-no-languages": 'Acquire::Languages "none";\n',
}
_NO_DOCUMENTS = (
    "path-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n"
)
_GONE = re.compile(
    r"\.dockerenv|etc/(?:hostname|hosts|resolv\.conf|mtab|machine-id|apt/sources\.list)|(?:dev|proc|sys|run|tmp)/.+"
    r"|var/(?:lib/apt/lists|cache/apt)/.+|var/log/(?:dpkg|bootstrap|alternatives)\.log|var/cache/ldconfig/aux-cache"
)


def exported(docker: Path, image: str, target: Path) -> Path:
    """The root filesystem of an image in Docker, as a tar archive."""
    container = run([docker, "create", image, "true"]).stdout.strip()
    try:
        run([docker, "export", "--output", target, container])
    finally:
        run([docker, "rm", container])
    return target


def debian(archive: Path, *, slim: bool = False) -> bytes:
    """As `debian:trixie` or `debian:trixie-slim`: a name and name servers that are nobody's."""
    files = {
        **_DOCKER,
        "etc/hostname": "debuerreotype\n",
        "etc/resolv.conf": f"# a public, highly available DNS service\nnameserver {NAME_SERVER}\n",
        "etc/apt/sources.list.d/debian.sources": _deb822(archive),
    }
    if slim:
        files["etc/dpkg/dpkg.cfg.d/docker"] = _NO_DOCUMENTS
    return _made(archive, files, without_documents=slim)


def ubuntu(archive: Path) -> bytes:
    """As `ubuntu:24.04`: no documents, a diverted initctl, and the user ubuntu."""
    files = {
        **_DOCKER,
        "usr/sbin/initctl": _POLICY.replace("101", "0"),
        "etc/dpkg/dpkg.cfg.d/excludes": _NO_DOCUMENTS,
        "etc/apt/sources.list.d/ubuntu.sources": _deb822(archive),
        "etc/machine-id": "",
    }
    lines = {
        "etc/passwd": "ubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash\n",
        "etc/shadow": "ubuntu:!:19000:0:99999:7:::\n",
        "etc/group": "ubuntu:x:1000:\n",
        "etc/gshadow": "ubuntu:!::\n",
        "var/lib/dpkg/diversions": "/sbin/initctl\n/sbin/initctl.distrib\n:\n",
    }
    return _made(archive, files, more=lines, without_documents=True)


def _made(
    archive: Path, files: Mapping[str, str], *, more: Mapping[str, str] | None = None, without_documents: bool
) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(archive) as source, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as sink:
        for member in source:
            member.name = member.name.removeprefix("./")
            if member.name in files or _GONE.fullmatch(member.name):
                continue
            if (
                without_documents
                and re.match(r"usr/share/(?:man|doc)/.+(?<!/copyright)$", member.name)
                and member.isfile()
            ):
                continue
            member.mtime = min(member.mtime, MADE)
            content = source.extractfile(member) if member.isfile() else None
            if content is not None and member.name in (more or {}):
                text = content.read() + (more or {})[member.name].encode()
                member.size, content = len(text), io.BytesIO(text)
            sink.addfile(member, content)
        for name, words in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(words.encode()), MADE
            member.mode = 0o755 if words.startswith("#!") else 0o644
            sink.addfile(member, io.BytesIO(words.encode()))
    return packed.getvalue()


def _deb822(archive: Path) -> str:
    """The one-line sources of a bootstrapped base, as the newer images write them."""
    with tarfile.open(archive) as tar:
        content = tar.extractfile(next(each for each in tar if each.name.removeprefix("./") == "etc/apt/sources.list"))
        assert content is not None
        text = content.read().decode()
    stanzas = []
    for options, address, suite, components in re.findall(r"^deb (?:\[(.*?)\] )?(\S+) (\S+) (.+)$", text, re.MULTILINE):
        signed = re.search(r"signed-by=\"?([^\s\"]+)", options)
        trusted = "Trusted: yes\n" if "trusted=yes" in options else ""
        signed_by = f"Signed-By: {signed[1]}\n" if signed else ""
        stanzas.append(f"Types: deb\nURIs: {address}\nSuites: {suite}\nComponents: {components}\n{trusted}{signed_by}")
    assert stanzas, text
    return "\n".join(stanzas)
