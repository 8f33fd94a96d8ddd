"""Docker: images and containers over its SDK, builds through its command line (BuildKit)."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from docker.errors import ImageNotFound

from metallize.build.engines import assembling, buildkit, endpoint, rootfs_pipe
from metallize.build.engines.engine import Assembly, ImageInfo, Output
from metallize.build.engines.rootfs_pipe import RootfsPipe
from metallize.build.plan import PARENT_LABEL, LayerBuild
from metallize.command import spawn
from metallize.errors import EngineError, told_if_left
from metallize.model.profile import Platform

RUN_LABEL = "io.metallize.run"
_KEPT_LINES = 2_000
_SHORT_DATE = 19
"""Characters of an ISO date up to its seconds; Docker writes nanoseconds, which datetime does not read."""


class DockerEngine:
    """The Docker engine that DOCKER_HOST, or else the usual socket, leads to."""

    def __init__(self) -> None:
        self._client, host = endpoint.connect()
        self._environment = {**buildkit.ENVIRONMENT, "DOCKER_HOST": host}
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
            found: dict[str, Any] = self._client.api.inspect_image(reference)  # type: ignore[no-untyped-call]  # the SDK's stub
        except ImageNotFound:
            return None
        except endpoint.FAILURES as exc:
            raise endpoint.failed(f"asking for image {reference}", exc) from exc
        labels = (found.get("Config") or {}).get("Labels") or {}
        return ImageInfo(
            id=found["Id"],
            reference=reference,
            created=_created(found),
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
        except endpoint.FAILURES as exc:
            reason = endpoint.words(exc)
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
        argv = ["--tag", layer.tag, "--label", f"{PARENT_LABEL}={parent.id if parent else ''}"]
        argv += ["--no-cache"] if fresh else []
        self._build_layer(layer, parent.reference if parent else "", platform, argv, output)
        return self._must_have(layer.tag)

    def export(self, layer: LayerBuild, stage: str, platform: Platform, archive: Path, output: Output) -> None:
        argv = ["--target", stage, "--output", f'type=tar,"dest={archive}"']  # a CSV record: a path may hold a comma
        self._build_layer(layer, "scratch", platform, argv, output)

    def _build_layer(
        self, layer: LayerBuild, parent: str, platform: Platform, argv: Sequence[str], output: Output
    ) -> None:
        words = [*argv, "--platform", str(platform), "--file", str(layer.dockerfile)]
        given = {"METALLIZE_SRC_IMG": parent} if parent else {}
        for name, value in {**given, **layer.build_args}.items():
            words += ["--build-arg", f"{name}={value}"]
        lines = self._build([*words, str(layer.context)], output)
        if lines is not None:
            raise buildkit.failure(layer, lines)

    def _build(self, argv: Sequence[str], output: Output) -> list[str] | None:
        """Run a build to its end; the lines it printed where it failed, None where it did not."""
        words: list[str | Path] = [self.cli.path, "build", "--progress", "plain", *argv]
        with spawn(words, env=self._environment, stderr=subprocess.STDOUT, stdout=subprocess.PIPE) as process:
            self._running.add(process)
            if self._cancelled:
                process.terminate()
            lines = _follow(process.stdout, output)
            status = process.wait()
            self._running.discard(process)
            return None if status == 0 else lines

    def assemble(self, assembly: Assembly, output: Output) -> None:
        try:
            self._assemble(assembly, output)
        except endpoint.FAILURES as exc:
            raise endpoint.failed("running the generator's container", exc) from exc

    def _assemble(self, assembly: Assembly, output: Output) -> None:
        with told_if_left(lambda: self._left_of(assembly.label)), ExitStack() as stack:
            # Registered before the container is there, so that an interruption in between leaves none either.
            stack.callback(self.remove_leftovers, [assembly.label])
            container = self._client.containers.create(**self._generator(assembly))
            pipe = stack.enter_context(RootfsPipe(assembly.out))
            build = stack.enter_context(self._seal(assembly, pipe))
            # The container ends before the build is asked to: a build would first write all that nobody reads.
            stack.callback(pipe.release)
            stack.callback(self.remove_leftovers, [assembly.label])
            seal_lines: list[str] = []
            progress = threading.Thread(target=lambda: seal_lines.extend(_follow(build.stderr, output)), daemon=True)
            progress.start()
            container.start()
            generator_lines: list[str] = []
            logs = threading.Thread(target=_collect, args=(container, generator_lines, output), daemon=True)
            logs.start()
            ended: list[int] = []
            waiting = threading.Thread(target=_wait, args=(container, ended, pipe), daemon=True)
            waiting.start()
            sealed = build.wait()
            progress.join(timeout=10)
            if sealed != 0 and not ended:
                raise assembling.seal_failure(seal_lines)
            pipe.finish(given_up=lambda: bool(ended))
            waiting.join()
            logs.join(timeout=10)
            if ended != [0]:
                if pipe.waiting:  # whoever ran there did not find the pipe that is here
                    raise endpoint.not_here(self._environment["DOCKER_HOST"])
                status = ended[0] if ended else int(container.wait()["StatusCode"])
                raise assembling.generator_failure(str(assembly.job["name"]), status, generator_lines)

    @contextmanager
    def _seal(self, assembly: Assembly, pipe: RootfsPipe) -> Iterator[subprocess.Popen[bytes]]:
        """The build that seals the rootfs and writes it into the pipe."""
        words: list[str | Path] = [self.cli.path, "build", "--progress", "plain", *assembling.seal_arguments(assembly)]
        with (
            pipe.writer() as sink,
            spawn(words, env=self._environment, stdout=sink, stderr=subprocess.PIPE) as build,
        ):
            sink.close()
            yield build

    def _generator(self, assembly: Assembly) -> dict[str, Any]:
        """The container that runs the generator: no network, no capability, nothing to write to but /out and /tmp."""
        # A rootless engine's root is the user who runs it; its other users are none of the host's.
        rootless = any("rootless" in option for option in self._client.info().get("SecurityOptions") or ())
        return {
            "image": assembly.tools.reference,
            "command": [*rootfs_pipe.READER, "/generator/build", json.dumps(assembly.job, sort_keys=True)],
            "environment": {"SOURCE_DATE_EPOCH": str(assembly.epoch)},
            "volumes": {str(assembly.out.absolute()): {"bind": "/out", "mode": "rw"}},
            "user": "0:0" if rootless else f"{os.getuid()}:{os.getgid()}",
            "network_mode": "none",
            "cap_drop": ["ALL"],
            "security_opt": ["no-new-privileges"],
            "read_only": True,
            "tmpfs": {"/tmp": ""},  # noqa: S108 - the container's own
            "labels": {RUN_LABEL: assembly.label},
        }

    def _left_of(self, label: str) -> list[str]:
        """The containers of a run that are still there."""
        try:
            found = self._client.containers.list(
                all=True, filters={"label": f"{RUN_LABEL}={label}"}, ignore_removed=True
            )
        except endpoint.FAILURES as exc:
            return [f"perhaps a container labelled {RUN_LABEL}={label}: the engine does not say ({exc})"]
        return [f"container {each.short_id}" for each in found]

    def remove_leftovers(self, labels: Sequence[str]) -> None:
        for label in labels:
            with suppress(*endpoint.FAILURES):
                # A container that another build removes between the list and the look at it ends nothing here.
                found = self._client.containers.list(
                    all=True, filters={"label": f"{RUN_LABEL}={label}"}, ignore_removed=True
                )
                for container in found:
                    _remove(container)


def _created(found: dict[str, Any]) -> datetime:
    """When the image was made; engines leave it out, or say year 1, where they do not know."""
    try:
        return datetime.fromisoformat(f"{found['Created'][:_SHORT_DATE]}+00:00")
    except (KeyError, TypeError, ValueError):
        return datetime.fromtimestamp(0, tz=UTC)


def _platform(found: dict[str, Any]) -> Platform | None:
    with suppress(ValueError):
        return Platform(f"{found.get('Os')}/{found.get('Architecture')}")
    return None


def _remove(container: Any) -> None:
    with suppress(*endpoint.FAILURES):
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
    with suppress(*endpoint.FAILURES, ValueError):
        for part in _parts(container.logs(stdout=True, stderr=True, stream=True, follow=True)):
            *whole, rest = (rest + part).split(b"\n")
            for raw in whole:
                line = raw.decode("utf-8", "replace").rstrip("\r")
                lines.append(line)
                output(line)
    if rest:
        lines.append(rest.decode("utf-8", "replace"))


def _wait(container: Any, ended: list[int], pipe: RootfsPipe) -> None:
    """Wait for a container's end, and note its status."""
    with suppress(*endpoint.FAILURES):
        ended.append(int(container.wait()["StatusCode"]))
    pipe.release()


def _parts(stream: Iterable[bytes]) -> Iterable[bytes]:
    return stream
