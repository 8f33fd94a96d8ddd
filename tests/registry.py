"""A container registry on loopback (the program docker-registry), images pushed to it, and a line to it that breaks."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import socket
import subprocess
import tarfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import urljoin

import bcrypt

from metallize import planning
from metallize.build.base import bases
from metallize.build.base.bases import Base
from metallize.build.engines.docker import DockerEngine
from metallize.build.plan import BaseImage
from metallize.catalog import Catalog
from metallize.deadline import Deadline
from metallize.events import Silent
from metallize.model.profile import Platform
from tests import tools

PROGRAM = "docker-registry"
_UP_SECONDS = 20
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def resolved(engine: DockerEngine, reference: str, platform: Platform = Platform.AMD64) -> Base:
    """The base as a build gets it: local, pulled or made."""
    step = planning.base_of(BaseImage(reference=reference, platform=platform), Catalog())
    return bases.resolve(engine, step, Silent())


def is_nowhere() -> bool:
    """Whether tests with a registry may be left out."""
    return tools.is_nowhere(PROGRAM, PROGRAM)


@dataclass(frozen=True)
class Login:
    user: str = "robot"
    password: str = "a secret: with a colon"

    @property
    def header(self) -> str:
        return f"Basic {self.encoded}"

    @property
    def encoded(self) -> str:
        """As the `auth` of Docker's config.json."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Registry:
    """A registry that answers at 127.0.0.1:PORT, which Docker speaks plain HTTP to."""

    port: int
    login: Login | None = None
    pid: int = 0
    folder: Path = Path()
    """Where it keeps what it has."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def push(self, name: str, tag: str, images: Sequence[OciImage]) -> str:
        """Push one index over all of the images, as official ones are published; its digest."""
        entries = []
        for image in images:
            manifest = image.manifest(lambda blob: self._blob(name, blob))
            digest = self._put(name, _digest(manifest), manifest, _MANIFEST)
            os_name, architecture = str(image.platform).split("/")
            entries.append(
                {
                    "mediaType": _MANIFEST,
                    "digest": digest,
                    "size": len(manifest),
                    "platform": {"os": os_name, "architecture": architecture},
                }
            )
        index = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}).encode()
        return self._put(name, tag, index, _INDEX)

    def _blob(self, name: str, data: bytes) -> str:
        digest = _digest(data)
        with self._asked("POST", f"/v2/{name}/blobs/uploads/") as answer:
            place = urljoin(f"http://{self.host}", answer.headers["Location"])
        joint = "&" if "?" in place else "?"
        with self._asked("PUT", f"{place}{joint}digest={digest}", data, "application/octet-stream"):
            return digest

    def _put(self, name: str, reference: str, data: bytes, kind: str) -> str:
        with self._asked("PUT", f"/v2/{name}/manifests/{reference}", data, kind) as answer:
            assert answer.headers["Docker-Content-Digest"] == _digest(data)
        return _digest(data)

    def _asked(self, method: str, place: str, data: bytes | None = None, kind: str = "") -> urllib.request._UrlopenRet:
        headers = {"Authorization": self.login.header} if self.login else {}
        if data is not None:
            headers["Content-Type"] = kind
        url = urljoin(f"http://{self.host}", place)
        request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310 - our own server
        return urllib.request.urlopen(request, timeout=60)  # noqa: S310


@dataclass(frozen=True)
class OciImage:
    """An image of one layer."""

    platform: Platform
    archive: bytes
    """The root filesystem as a tar archive."""
    triggers: tuple[str, ...] = ()
    """Its ONBUILD instructions."""

    def manifest(self, store: _Store) -> bytes:
        """Store config and layer, and describe them."""
        packed = gzip.compress(self.archive, compresslevel=1, mtime=0)
        os_name, architecture = str(self.platform).split("/")
        config = {
            "os": os_name,
            "architecture": architecture,
            "created": "2024-01-01T00:00:00Z",
            "config": {"Cmd": ["bash"], "OnBuild": list(self.triggers) or None},
            "rootfs": {"type": "layers", "diff_ids": [_digest(self.archive)]},
            "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "# debian.sh --arch"}],
        }
        described = json.dumps(config, sort_keys=True).encode()
        content = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": store(described), "size": len(described)},
            "layers": [{"mediaType": _LAYER, "digest": store(packed), "size": len(packed)}],
        }
        return json.dumps(content).encode()


class _Store(Protocol):
    """Takes a blob and returns its digest."""

    def __call__(self, data: bytes) -> str: ...


def rootfs(files: Mapping[str, bytes]) -> bytes:
    """A root filesystem of a few files, with nothing in it that could be run."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_700_000_000
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@contextmanager
def running(
    folder: Path,
    *,
    login: Login | None = None,
    deletes: bool = True,
    tls: tuple[Path, Path] | None = None,
    more: Mapping[str, object] | None = None,
) -> Iterator[Registry]:
    """A registry whose images are in `folder`; with `login` nobody else gets anything from it.

    With `tls`, a certificate and its key, it speaks HTTPS alone; `more` goes into its configuration.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}, "delete": {"enabled": deletes}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "of a test"},
        **(more or {}),
    }
    if tls is not None:
        config["http"] = {**config["http"], "tls": {"certificate": str(tls[0]), "key": str(tls[1])}}
    folder.mkdir(parents=True, exist_ok=True)
    if login is not None:
        hashed = bcrypt.hashpw(login.password.encode(), bcrypt.gensalt(4, prefix=b"2a")).decode()
        (folder / "htpasswd").write_text(f"{login.user}:{hashed}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    (folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    with (folder / "log").open("wb") as log, ExitStack() as stack:
        process = subprocess.Popen(
            [PROGRAM, "serve", folder / "config.yml"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        deadline = Deadline.after(_UP_SECONDS, "the registry answers")
        while not _answers(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert not deadline.expired, (folder / "log").read_text()
            time.sleep(0.05)
        yield Registry(port=port, login=login, pid=process.pid, folder=folder / "images")


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
    except HTTPError:
        return True  # it speaks HTTPS, and says so
    except URLError:
        return False
    return True


@dataclass
class Line:
    """A line to a registry: it is cut once so many bytes have come back over it, and is dead from then on."""

    target: int
    allowed_bytes: int | None = None
    """None for a line that holds."""
    port: int = 0
    passed_bytes: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def is_cut(self) -> bool:
        return self.allowed_bytes is not None and self.passed_bytes >= self.allowed_bytes

    def mend(self) -> None:
        self.allowed_bytes = None


@contextmanager
def line_to(registry: Registry, *, allowed_bytes: int | None) -> Iterator[Line]:
    """A proxy on loopback between Docker and a registry."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = Line(target=registry.port, allowed_bytes=allowed_bytes, port=listener.getsockname()[1])
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    near, _ = listener.accept()
                except OSError:
                    return
                thread = threading.Thread(target=_carry, args=(line, near), daemon=True)
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield line
        finally:
            line.allowed_bytes = 0
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join(10)


def _carry(line: Line, near: socket.socket) -> None:
    """One connection, both ways, up to the cut."""
    with near:
        if line.is_cut:
            return
        with suppress(OSError), socket.create_connection(("127.0.0.1", line.target)) as far:
            there = threading.Thread(target=_copy, args=(near, far), daemon=True)
            there.start()
            while not line.is_cut and (data := far.recv(16384)):
                line.passed_bytes += len(data)
                near.sendall(data)
            for end in (near, far):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            there.join(10)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(16384):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
