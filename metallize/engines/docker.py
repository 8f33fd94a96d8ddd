"""Docker: images and containers over its SDK, builds through its command line (BuildKit)."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any, Self

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from metallize.command import spawn
from metallize.engines import buildkit
from metallize.engines.engine import Assembly, ImageInfo, Output
from metallize.errors import EngineError, GeneratorError, LayerError
from metallize.model.plan import PARENT_LABEL, LayerBuild
from metallize.model.profile import Platform

RUN_LABEL = "io.metallize.run"
_CHUNK = 1 << 20
_KEPT_LINES = 2_000
_API_TIMEOUT_SECONDS = 60
_SHORT_DATE = 19
"""Characters of an ISO date up to its seconds; Docker writes nanoseconds, which datetime does not read."""


class DockerEngine:
    """The Docker engine that DOCKER_HOST, or else the usual socket, leads to."""

    def __init__(self) -> None:
        self._client = _connect()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._cancelled = False

    @cached_property
    def cli(self) -> buildkit.DockerCli:
        return buildkit.find_cli()

    @cached_property
    def version(self) -> str:
        return str(self._client.version()["Version"])

    def close(self) -> None:
        self._client.close()

    def cancel(self) -> None:
        self._cancelled = True
        for process in tuple(self._running):
            process.terminate()

    def inspect(self, reference: str) -> ImageInfo | None:
        try:
            found = self._client.api.inspect_image(reference)
        except ImageNotFound:
            return None
        except (DockerException, requests.exceptions.RequestException) as exc:
            raise _lost(exc) from exc
        labels = (found.get("Config") or {}).get("Labels") or {}
        return ImageInfo(
            id=found["Id"],
            reference=reference,
            created=datetime.fromisoformat(f"{found['Created'][:_SHORT_DATE]}+00:00"),
            platform=_platform(found),
            size_bytes=int(found.get("Size", 0)),
            parent=labels.get(PARENT_LABEL, ""),
        )

    def _must_have(self, reference: str) -> ImageInfo:
        info = self.inspect(reference)
        if info is None:
            raise EngineError(f"Docker says it made {reference}, but does not know it", hint="is its disk full?")
        return info

    def pull(self, reference: str, platform: Platform, output: Output) -> ImageInfo:
        try:
            for event in self._client.api.pull(reference, platform=str(platform), stream=True, decode=True):
                if "error" in event:
                    raise EngineError(f"{reference}: {event['error']}")
                if "id" not in event:
                    output(str(event.get("status", "")))
        except (DockerException, requests.exceptions.RequestException) as exc:
            reason = str(getattr(exc, "explanation", "") or exc)
            raise EngineError(f"{reference} could not be fetched from its registry: {reason}") from exc
        return self._must_have(reference)

    def load_base(self, archive: Path, tag: str, platform: Platform, output: Output) -> ImageInfo:
        # `docker import --platform` of Docker 20.10 labels every image with the host's architecture; a build does not.
        recipe = archive.with_name("Dockerfile")
        recipe.write_text(f'FROM scratch\nADD {archive.name} /\nCMD ["/bin/bash"]\n')
        argv = ["--platform", str(platform), "--tag", tag, "--file", str(recipe), str(archive.parent)]
        lines = self._build(argv, output)
        if lines is not None:
            raise EngineError(
                f"{tag} could not be made from a base archive:\n" + "\n".join(lines[-buildkit.TAIL_LINES :])
            )
        return self._must_have(tag)

    def build(
        self, layer: LayerBuild, parent: ImageInfo | None, platform: Platform, output: Output, *, fresh: bool
    ) -> ImageInfo:
        argv = ["--platform", str(platform), "--tag", layer.tag, "--file", str(layer.dockerfile)]
        argv += ["--label", f"{PARENT_LABEL}={parent.id if parent else ''}"]
        if parent:
            argv += ["--build-arg", f"METALLIZE_SRC_IMG={parent.reference}"]
        for name, value in layer.build_args.items():
            argv += ["--build-arg", f"{name}={value}"]
        argv += ["--no-cache"] if fresh else []
        lines = self._build([*argv, str(layer.context)], output)
        if lines is not None:
            raise buildkit.failure(layer, lines)
        return self._must_have(layer.tag)

    def _build(self, argv: Sequence[str], output: Output) -> list[str] | None:
        """Run a build to its end; the lines it printed where it failed, None where it did not."""
        words = [self.cli.path, "build", "--progress", "plain", *argv]
        with spawn(words, env=buildkit.ENVIRONMENT, stderr=subprocess.STDOUT, stdout=subprocess.PIPE) as process:
            self._running.add(process)
            if self._cancelled:
                process.terminate()
            lines = _follow(process.stdout, output)
            status = process.wait()
            self._running.discard(process)
            return None if status == 0 else lines

    def assemble(self, assembly: Assembly, output: Output) -> None:
        with ExitStack() as stack:
            container = self._client.containers.create(
                assembly.tools.reference,
                ["/generator/build", json.dumps(assembly.job, sort_keys=True)],
                environment={"SOURCE_DATE_EPOCH": str(assembly.epoch)},
                volumes={str(assembly.out.absolute()): {"bind": "/out", "mode": "rw"}},
                user=f"{os.getuid()}:{os.getgid()}",
                network_mode="none",
                cap_drop=["ALL"],
                security_opt=["no-new-privileges"],
                read_only=True,
                tmpfs={"/tmp": ""},  # noqa: S108 - the container's own
                stdin_open=True,
                labels={RUN_LABEL: assembly.label},
            )
            stack.callback(_remove, container)
            sink = stack.enter_context(_Stdin(container))
            container.start()
            generator_lines: list[str] = []
            logs = threading.Thread(target=_collect, args=(container, generator_lines, output), daemon=True)
            logs.start()
            build = stack.enter_context(
                spawn(
                    [self.cli.path, "build", "--progress", "plain", *_seal_arguments(assembly)],
                    env=buildkit.ENVIRONMENT,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
            )
            seal_lines: list[str] = []
            progress = threading.Thread(target=lambda: seal_lines.extend(_follow(build.stderr, output)), daemon=True)
            progress.start()
            taken = sink.pump(build.stdout)
            if not taken:
                build.terminate()
            sealed = build.wait()
            progress.join(timeout=10)
            status = int(container.wait()["StatusCode"])
            logs.join(timeout=10)
            if sealed != 0 and taken:
                raise _seal_failure(seal_lines)
            if status != 0:
                raise _generator_failure(str(assembly.job["name"]), status, generator_lines)

    def remove_leftovers(self, labels: Sequence[str]) -> None:
        for label in labels:
            for container in self._client.containers.list(all=True, filters={"label": f"{RUN_LABEL}={label}"}):
                _remove(container)


class _Stdin:
    """A container's standard input, written by us and closed when the rootfs ends."""

    def __init__(self, container: Any) -> None:
        self._raw = container.attach_socket(params={"stdin": 1, "stream": 1})
        self._socket: socket.socket = getattr(self._raw, "_sock", self._raw)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._raw.close()

    def pump(self, source: IO[bytes] | None) -> bool:
        """Copy the stream to its end; False where the container stopped reading before that."""
        assert source is not None  # noqa: S101 - the caller asked for a pipe
        buffer = memoryview(bytearray(_CHUNK))
        try:
            while count := os.readv(source.fileno(), [buffer]):
                self._socket.sendall(buffer[:count])
            self._socket.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True


def _connect() -> docker.DockerClient:
    try:
        client = docker.from_env(timeout=_API_TIMEOUT_SECONDS)
        client.ping()
    except (DockerException, requests.exceptions.RequestException) as exc:
        raise _lost(exc) from exc
    return client


def _lost(exc: Exception) -> EngineError:
    where = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    text = str(exc)
    if "Permission denied" in text:
        return EngineError(
            f"Docker's socket {where} refuses this user",
            hint="add yourself to the group: sudo usermod -aG docker $USER, then log in again; or run as root",
        )
    return EngineError(
        f"no Docker engine answers at {where}: {text[:300]}",
        hint="start it: sudo systemctl start docker, or without systemd: sudo dockerd & ; scripts/quickstart does both",
    )


def _platform(found: dict[str, Any]) -> Platform | None:
    with suppress(ValueError):
        return Platform(f"{found.get('Os')}/{found.get('Architecture')}")
    return None


def _remove(container: Any) -> None:
    with suppress(NotFound, APIError, requests.exceptions.RequestException):
        container.remove(force=True, v=True)


def _follow(stream: IO[bytes] | None, output: Output) -> list[str]:
    """Read lines to the end, pass each on, and return the last ones."""
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    for raw in stream or ():
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        kept.append(line)
        output(line)
    return list(kept)


def _collect(container: Any, lines: list[str], output: Output) -> None:
    """Follow a container's output to its end; a lost connection ends it quietly, the exit status tells the rest."""
    rest = b""
    with suppress(DockerException, requests.exceptions.RequestException, ValueError):
        for part in _parts(container.logs(stdout=True, stderr=True, stream=True, follow=True)):
            *whole, rest = (rest + part).split(b"\n")
            for raw in whole:
                line = raw.decode("utf-8", "replace").rstrip("\r")
                lines.append(line)
                output(line)
    if rest:
        lines.append(rest.decode("utf-8", "replace"))


def _parts(stream: Iterable[bytes]) -> Iterable[bytes]:
    return stream


def _seal_arguments(assembly: Assembly) -> list[str]:
    seal = assembly.seal
    return [
        "--platform", str(assembly.platform),
        "--file", str(seal.dockerfile),
        "--build-arg", f"METALLIZE_SRC_IMG={assembly.top.reference}",
        "--build-arg", f"METALLIZE_FSTAB={seal.fstab}",
        "--output", "type=tar,dest=-",
        str(seal.context),
    ]  # fmt: skip


def _seal_failure(lines: list[str]) -> LayerError:
    text = buildkit.readable(lines)
    told = [match[1] for line in text if (match := re.search(r"metallize: ERROR: (.*)", line))]
    advice = [match[1] for line in text if (match := re.search(r"metallize: (Add .*)", line))]
    if told:
        return LayerError(f"the rootfs cannot be made bootable: {told[0]}", hint=advice[0] if advice else None)
    tail = "\n".join(f"  | {line}" for line in text[-buildkit.TAIL_LINES :])
    return LayerError(f"making fstab and the initrd failed\n{tail}", hint=buildkit.hint_for("\n".join(lines)))


def _generator_failure(name: str, status: int, lines: list[str]) -> GeneratorError:
    told = [line.partition("metallize: ERROR: ")[2] for line in lines if "metallize: ERROR: " in line]
    if told:
        text = told[-1]
        full = "No space left on device" in text
        return GeneratorError(
            f"the image of {name} could not be made: {text}",
            hint="free space in the build folder, or choose another with --build-dir" if full else None,
        )
    tail = "\n".join(f"  | {line}" for line in lines[-buildkit.TAIL_LINES :])
    killed = "; it was killed (out of memory?)" if status == 128 + 9 else ""
    return GeneratorError(f"the generator ended with status {status}{killed}\n{tail}")
