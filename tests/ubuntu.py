"""An Ubuntu archive of our own: Debian's packages under Ubuntu's suites, components and names.

It shows that the layers' commands, mmdebstrap with a mirror, the generators and the boots hold together for a
distribution that calls itself Ubuntu. It does not show that Ubuntu's own packages do what Debian's do.
"""

from __future__ import annotations

import fcntl
import functools
import gzip
import hashlib
import re
import socket
import struct
import subprocess
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from metallize.command import run

COMPONENTS = ("main", "restricted", "universe", "multiverse")
ARCHITECTURE = "amd64"


@dataclass(frozen=True, kw_only=True)
class Release:
    """An Ubuntu release, and the Debian one whose packages stand for its own."""

    suite: str
    version: str
    name: str
    debian: str


FOCAL = Release(suite="focal", version="20.04", name="20.04.6 LTS (Focal Fossa)", debian="bookworm")
NOBLE = Release(suite="noble", version="24.04", name="24.04 LTS (Noble Numbat)", debian="trixie")

NAMES: Mapping[str, str] = {
    # what layers/ubuntu-*.dockerfile and the layers on top of them install: name -> component at Ubuntu
    "initramfs-tools": "main",
    "live-boot": "universe",
    "live-boot-initramfs-tools": "universe",
    "zstd": "main",
    "fdisk": "main",
    "e2fsprogs": "main",
    "dosfstools": "main",
    "systemd-sysv": "main",
    "udev": "main",
    "dbus": "main",
    "kmod": "main",
    "procps": "main",
    "iproute2": "main",
    "login": "main",
    "less": "main",
    "netplan.io": "main",
    "systemd-resolved": "main",  # of its own since 22.10; before, a part of systemd
    "openssh-server": "main",
    "libpam-systemd": "main",
    "sudo": "main",
    "passwd": "main",
}
KERNELS: Mapping[str, str] = {
    "linux-image-generic": "linux-image-amd64",
    "linux-image-virtual": "linux-image-cloud-amd64",
}
"""Ubuntu's packages that depend on the newest kernel, and Debian's: these are not in the archive by their own names."""

_ASK = r"""
set -eu
apt-get update -qq
mkdir -p /tmp/no-packages/partial
set -- '?essential' '?priority(required)' apt "$@"
apt-get install -y -q --no-install-recommends --print-uris \
  -o Dir::State::status=/dev/null -o Dir::Cache::archives=/tmp/no-packages "$@" | grep "^'" >/tmp/uris
cat /tmp/uris
echo ==
cut -d ' ' -f 2 /tmp/uris | sed 's/_[^_]*\.deb$//; s/_/=/; s/%3a/:/' | xargs apt-cache show
"""


@dataclass(kw_only=True)
class Served:
    """What is served: files by their path, and where Debian's packages are by theirs."""

    files: dict[str, bytes] = field(default_factory=dict)
    elsewhere: dict[str, str] = field(default_factory=dict)
    address: str = ""


ServedT = TypeVar("ServedT", bound=Served)


@dataclass(kw_only=True)
class Archive(Served):
    """Of an Ubuntu release."""

    release: Release

    @property
    def mirror(self) -> str:
        """What METALLIZE_UBUNTU_MIRROR is to be."""
        return f"deb [trusted=yes] {self.address} {self.release.suite} {' '.join(COMPONENTS)}"


def archive(release: Release, docker: Path, base: str, folder: Path) -> Archive:
    """Make it from what a base of the Debian release, an image in Docker, says of its packages."""
    words: list[str | Path] = [docker, "run", "--rm", "--interactive", base, "sh", "-s", *NAMES, *KERNELS.values()]
    uris, _, stanzas = run(words, stdin=_ASK).stdout.partition("==\n")
    made = Archive(release=release)
    printed = re.findall(r"^'(\S+)'", uris, re.MULTILINE)
    places = {unquote(urlsplit(uri).path).partition("/pool/")[2]: uri for uri in printed}
    found = [stanza for stanza in stanzas.split("\n\n") if stanza.strip()]
    indices: dict[str, list[str]] = {component: [] for component in COMPONENTS}
    for stanza in found:
        name, place = _field(stanza, "Package"), _field(stanza, "Filename")
        uri = places[place.removeprefix("pool/")]
        if name in KERNELS.values():
            continue
        if name == "base-files":
            made.files[place] = _named_ubuntu(release, _fetched(uri), folder)
            stanza = described(made.files[place], place, folder)  # noqa: PLW2901 - it is another package
        else:
            made.elsewhere[place] = uri
        indices[NAMES.get(name, "main")].append(stanza)
    for name, debian in KERNELS.items():
        [kernel] = [stanza for stanza in found if _field(stanza, "Package") == debian]
        place = f"pool/main/l/linux-meta/{name}_{_field(kernel, 'Version')}_{ARCHITECTURE}.deb"
        made.files[place] = _meta_package(name, kernel, folder)
        indices["main"].append(described(made.files[place], place, folder))
    _index(made, indices)
    return made


def _field(stanza: str, name: str) -> str:
    match = re.search(rf"^{name}: (.*)$", stanza, re.MULTILINE)
    assert match, f"no {name} in {stanza[:200]}"
    return match[1]


def _fetched(uri: str) -> bytes:
    with urllib.request.urlopen(uri, timeout=60) as answer:  # noqa: S310 - an address that apt printed
        content: bytes = answer.read()
    return content


def _named_ubuntu(release: Release, package: bytes, folder: Path) -> bytes:
    """Debian's base-files with Ubuntu's os-release."""
    whole, tree = folder / "base-files.deb", folder / "base-files"
    whole.write_bytes(package)
    run(["dpkg-deb", "--raw-extract", whole, tree])
    (tree / "usr/lib/os-release").write_text(
        f'PRETTY_NAME="Ubuntu {release.name.partition(" (")[0]}"\nNAME="Ubuntu"\nVERSION_ID="{release.version}"\n'
        f'VERSION="{release.name}"\nVERSION_CODENAME={release.suite}\nID=ubuntu\nID_LIKE=debian\n'
        f"UBUNTU_CODENAME={release.suite}\n"
    )
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1ubuntu1", control.read_text(), flags=re.MULTILINE))
    (tree / "DEBIAN/md5sums").unlink(missing_ok=True)
    return packed(tree)


def _meta_package(name: str, kernel: str, folder: Path) -> bytes:
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: {_field(kernel, 'Version')}\nArchitecture: {ARCHITECTURE}\nSection: kernel\n"
        f"Maintainer: tests <tests@localhost>\nDepends: {_field(kernel, 'Depends')}\n"
        "Description: the newest kernel, under the name that Ubuntu gives it\n"
    )
    return packed(tree)


def packed(tree: Path) -> bytes:
    """The package of a folder, as dpkg-deb(1) builds it."""
    target = tree.with_suffix(".made.deb")
    run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, target])
    return target.read_bytes()


def described(package: bytes, place: str, folder: Path) -> str:
    """A stanza of Packages for a package that was made here."""
    whole = folder / "described.deb"
    whole.write_bytes(package)
    control = run(["dpkg-deb", "--field", whole]).stdout.rstrip()
    return f"{control}\nFilename: {place}\nSize: {len(package)}\nSHA256: {hashlib.sha256(package).hexdigest()}"


def _index(made: Archive, indices: Mapping[str, list[str]]) -> None:
    release = made.release
    texts = {name: "".join(f"{each.strip()}\n\n" for each in stanzas) for name, stanzas in indices.items()}
    made.files |= index(
        texts, origin="Ubuntu", suite=release.suite, version=release.version, date=formatdate(usegmt=True)
    )


def index(
    texts: Mapping[str, str], *, origin: str, suite: str, version: str, date: str, more: str = ""
) -> dict[str, bytes]:
    """Packages of each component, of its text, and the Release that names them, by their places."""
    files, lines = {}, []
    for component, text in texts.items():
        whole = text.encode()
        for name, content in (("Packages", whole), ("Packages.gz", gzip.compress(whole, compresslevel=1, mtime=0))):
            place = f"{component}/binary-{ARCHITECTURE}/{name}"
            files[f"dists/{suite}/{place}"] = content
            lines.append(f" {hashlib.sha256(content).hexdigest()} {len(content)} {place}")
    files[f"dists/{suite}/Release"] = (
        f"Origin: {origin}\nLabel: {origin}\nSuite: {suite}\nCodename: {suite}\nVersion: {version}\n"
        f"Date: {date}\n{more}Architectures: {ARCHITECTURE}\nComponents: {' '.join(texts)}\n"
        "SHA256:\n" + "\n".join(lines) + "\n"
    ).encode()
    return files


class _Handler(BaseHTTPRequestHandler):
    """ROOT/PATH: a file that was made here, or the word where Debian has it."""

    protocol_version = "HTTP/1.1"

    def __init__(self, made: Served, root: str, *args: object) -> None:
        self._made, self._root = made, root
        super().__init__(*args)  # type: ignore[arg-type]  # what socketserver hands over

    def do_GET(self) -> None:
        place = unquote(self.path).removeprefix(f"{self._root}/")
        content = self._made.files.get(place)
        if content is not None:
            self._answer(200, content)
        elif place in self._made.elsewhere:
            self._answer(302, b"", self._made.elsewhere[place])
        else:
            self._answer(404, b"none such\n")

    def _answer(self, status: int, content: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def served(made: ServedT, address: str, root: str = "/ubuntu") -> Iterator[ServedT]:
    """Serve it at an address of this host that containers reach too: the bridge's."""
    server = ThreadingHTTPServer((address, 0), functools.partial(_Handler, made, root))
    thread = threading.Thread(target=server.serve_forever, args=(0.1,))
    thread.start()
    made.address = f"http://{address}:{server.server_address[1]}{root}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def bridge(docker: Path) -> str:
    """The host's own address on Docker's bridge: of the interface itself, for an engine may not say it (20.10)."""
    ask = ["network", "inspect", "bridge", "--format", '{{index .Options "com.docker.network.bridge.name"}}']
    name = subprocess.run([docker, *ask], check=True, capture_output=True, text=True).stdout.strip()
    with socket.socket() as any_socket:
        found = fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", name.encode()))
    return socket.inet_ntoa(found[20:24])


_SIOCGIFADDR = 0x8915
"""The address of an interface (netdevice(7))."""
