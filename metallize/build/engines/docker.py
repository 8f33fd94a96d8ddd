"""Docker: images and containers over its SDK, builds through its command line (BuildKit)."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cached_property
from typing import IO, Any, BinaryIO

from docker.errors import ImageNotFound

from metallize.build.engines import assembling, buildkit, endpoint, orphans
from metallize.build.engines.engine import Assembly, ImageInfo, Output
from metallize.build.engines.rootfs_pipe import RootfsPipe
from metallize.build.engines.survey import EngineFacts
from metallize.build.plan import PARENT_LABEL
from metallize.build.steps.assembly import BUILDER_LABEL, RUN_LABEL, SEALED_CONTAINER, SEALED_IMAGE
from metallize.command import spawn, tethered
from metallize.errors import EngineError, MetallizeError, told_if_left
from metallize.model.profile import Platform

_KEPT_LINES = 2_000
_NO_CONTAINER = 125
_ENDING_SECONDS = 10


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

    @property
    def command(self) -> str:
        return str(self.cli.path)

    @property
    def host(self) -> str:
        """Its address."""
        return self._environment["DOCKER_HOST"]

    @cached_property
    def facts(self) -> EngineFacts:
        """What it says of itself. Raises EngineError where it does not."""
        try:
            return EngineFacts.parse(self._client.version(), self._client.info())
        except endpoint.FAILURES as exc:
            raise endpoint.failed("asking the engine what it is", exc) from exc

    @property
    def user(self) -> str:
        # A rootless engine's root is the user who runs it; its other users are none of the host's.
        return "0:0" if self.facts.rootless else f"{os.getuid()}:{os.getgid()}"

    @cached_property
    def version(self) -> str:
        return str(self._client.version()["Version"])

    def close(self) -> None:
        self._client.close()

    def cancel(self) -> None:
        self._cancelled = True
        for process in tuple(self._running):
            process.terminate()

    @property
    def builder(self) -> str:
        return orphans.labels().get(BUILDER_LABEL, "")

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
            platform=_platform(found),
            size_bytes=int(found.get("Size", 0)),
            parent=labels.get(PARENT_LABEL, ""),
            triggers=bool((found.get("Config") or {}).get("OnBuild")),
        )

    def tag(self, image: ImageInfo, reference: str) -> ImageInfo:
        repository, _, tag = reference.rpartition(":")
        try:
            self._client.api.tag(image.id, repository, tag)
        except endpoint.FAILURES as exc:
            raise endpoint.failed(f"giving {image.reference} the name {reference}", exc) from exc
        return replace(image, reference=reference)

    def _require(self) -> None:
        """Raises EngineError where it lacks what every build needs: what it would do instead takes long to fail."""
        for lack in self.facts.lacks():
            if lack.needed:
                raise EngineError(f"the engine at {self.host} cannot build this: {lack.what}", hint=lack.mend)

    def run(self, argv: Sequence[str], output: Output) -> list[str] | None:
        self._require()
        # A client that outlives us has the engine go on building for nobody.
        words = tethered(argv)
        with spawn(words, env=self._environment, stderr=subprocess.STDOUT, stdout=subprocess.PIPE) as process:
            self._running.add(process)
            if self._cancelled:
                process.terminate()
            lines = _follow(process.stdout, output)
            status = process.wait()
            self._running.discard(process)
            return None if status == 0 else lines

    def assemble(self, assembly: Assembly, output: Output) -> None:
        with told_if_left(lambda: self._left_of(assembly.label)), ExitStack() as stack:
            # Registered before anything is there, so that an interruption in between leaves nothing either.
            stack.callback(self.remove_leftovers, [assembly.label])
            pipe = stack.enter_context(RootfsPipe(assembly.out))
            sink = stack.enter_context(pipe.writer())  # by a name that goes as soon as there is a reader
            stack.callback(pipe.release)
            stack.callback(self.remove_leftovers, [assembly.label])
            generator = _Generator(assembly, self._environment, pipe, output)
            stack.callback(generator.end)
            generator.start()
            sealed = self.run(assembly.seal, output)
            if sealed is not None:
                raise assembling.seal_failure(sealed)
            if generator.status is None:
                self._export(assembly, sink, generator)
            sink.close()
            pipe.finish(given_up=lambda: generator.status is not None)
            self._let_go(assembly)
            generator.join()
            if generator.status != 0:
                if pipe.waiting and not generator.refused:  # whoever ran there did not find the pipe that is here
                    raise endpoint.not_here(self.host)
                raise assembling.generator_failure(assembly.name, generator.status or 0, generator.lines)

    def _export(self, assembly: Assembly, sink: BinaryIO, generator: _Generator) -> None:
        """Write the sealed rootfs into the pipe. Raises EngineError where the engine does not give it."""
        refused = self.run(assembly.hold, lambda _line: None)
        if refused is not None:
            raise assembling.export_failure("made no container of it", refused)
        words = tethered(assembly.export)
        with spawn(words, env=self._environment, stdout=sink, stderr=subprocess.PIPE) as export:
            sink.close()  # else it would not fail when its reader has gone
            said = _follow(export.stderr, lambda _line: None)
            if export.wait() != 0 and generator.status is None:
                raise assembling.export_failure("did not export it", said)

    def _let_go(self, assembly: Assembly) -> None:
        """Remove the sealed rootfs while the generator works on; what the engine refuses goes at the end."""
        with suppress(*endpoint.FAILURES):
            self._client.api.remove_container(f"{SEALED_CONTAINER}-{assembly.sealed}", v=True)
            self._client.api.remove_image(f"{SEALED_IMAGE}:{assembly.sealed}")

    def _left_of(self, label: str) -> list[str]:
        """The containers and the sealed image of a run that are still there."""
        try:
            found = self._client.containers.list(
                all=True, filters={"label": f"{RUN_LABEL}={label}"}, ignore_removed=True
            )
            images = self._images(label)
        except endpoint.FAILURES as exc:
            return [f"perhaps a container labelled {RUN_LABEL}={label}: the engine does not say ({exc})"]
        return [*(f"container {each.short_id}" for each in found), *(f"image {each[:19]}" for each in images)]

    def _images(self, label: str) -> list[str]:
        """The ids of a run's images."""
        found = self._client.api.images(filters={"label": f"{RUN_LABEL}={label}"})
        return [str(each["Id"]) for each in found]

    def remove_orphans(self) -> Sequence[orphans.Orphan]:
        return orphans.remove_orphans(self._client)

    def remove_leftovers(self, labels: Sequence[str]) -> None:
        for label in labels:
            with suppress(*endpoint.FAILURES):
                # A container that another build removes between the list and the look at it ends nothing here.
                found = self._client.containers.list(
                    all=True, filters={"label": f"{RUN_LABEL}={label}"}, ignore_removed=True
                )
                for container in found:
                    _remove(container)
                for image in self._images(label):
                    with suppress(*endpoint.FAILURES):
                        self._client.api.remove_image(image, force=True)


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


class _Generator(threading.Thread):
    """The command that runs the generator's container, and what it says, followed to its end."""

    def __init__(self, assembly: Assembly, environment: Mapping[str, str], pipe: RootfsPipe, output: Output) -> None:
        super().__init__(daemon=True)
        self.lines: list[str] = []
        self.status: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._assembly, self._environment = assembly, environment
        self._pipe, self._output = pipe, output

    @property
    def refused(self) -> bool:
        """Whether the engine made no container of it (docker-run(1), Exit Status)."""
        return self.status == _NO_CONTAINER

    def run(self) -> None:
        try:
            words = tethered(self._assembly.generate)
            with spawn(words, env=self._environment, stderr=subprocess.STDOUT, stdout=subprocess.PIPE) as process:
                self._process = process
                self.lines = _follow(process.stdout, self._output)
                self.status = process.wait()
        except MetallizeError as exc:
            self.lines, self.status = [exc.message], _NO_CONTAINER
        finally:
            self._pipe.release()

    def end(self) -> None:
        """End the command; its container has gone before."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
        self.join(timeout=_ENDING_SECONDS)
