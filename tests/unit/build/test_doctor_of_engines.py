"""The doctor, and a build, on engines that say of themselves what real ones do; their answers come over a socket."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest

from metallize import doctor
from metallize.build.engines import buildkit
from metallize.build.engines.docker import DockerEngine
from metallize.errors import EngineError

from .test_survey import CONTAINERD, DEBIAN_12, PODMAN, ROOTLESS

Answers = tuple[dict[str, Any], dict[str, Any]]
Serve = Callable[[Answers], Path]
TOO_OLD = "Error response from daemon: client version 1.41 is too old. Minimum supported API version is 1.44"


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """An engine at DOCKER_HOST that tells of itself and does nothing."""
    with ExitStack() as stack:

        def serve(answers: Answers) -> Path:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    told = {"version": answers[0], "info": answers[1]}.get(self.path.rpartition("/")[2], "OK")
                    content = json.dumps(told).encode() if told != "OK" else b"OK"
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)

                def log_message(self, *_: object) -> None:
                    """Say nothing."""

                def address_string(self) -> str:
                    return "a socket"

            path = tmp_path / "engine.sock"
            server = stack.enter_context(_Server(str(path), Handler))
            thread = threading.Thread(target=server.serve_forever, args=(0.05,))
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
            return path

        yield serve


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A docker command that can build, and all there is on PATH."""
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    monkeypatch.setattr(buildkit, "USUAL_FOLDERS", ())
    monkeypatch.setenv("PATH", f"{program.parent}")
    monkeypatch.delenv("DOCKER_API_VERSION", raising=False)
    write(program, "exit 0")
    return program


def write(program: Path, version: str) -> None:
    """`docker version` does what is given; it is a docker of today with buildx."""
    program.write_text(
        f'#!/bin/sh\ncase "$1" in\n--version) echo "Docker version 28.2.2, build x" ;;\nversion) {version} ;;\nesac\n'
    )
    program.chmod(stat.S_IRWXU)


def lines(subject: str) -> list[str]:
    return [finding.line() for finding in doctor.examine() if finding.subject == subject]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (DEBIAN_12, "images in its own store (overlay2) answers, and reads Dockerfile syntax 1.2 by itself"),
        (CONTAINERD, "images in containerd's store (overlayfs) answers, and reads Dockerfile syntax 1.7 by itself"),
        (ROOTLESS, ", rootless, images in"),
    ],
)
@pytest.mark.usefixtures("docker")
def test_a_good_engine_is_told_with_what_tells_it_from_others(serve: Serve, answers: Answers, words: str) -> None:
    serve(answers)
    [line] = lines("Docker engine")
    assert line.startswith("ok   Docker engine: version ")
    assert words in line
    [line] = lines("docker command")
    assert line.startswith("ok ")


@pytest.mark.usefixtures("docker")
def test_podman_is_missed_as_an_engine_with_the_command_that_mends_it(serve: Serve) -> None:
    serve(PODMAN)
    [line] = lines("Docker engine")
    assert line.startswith("MISS Docker engine: version 5.4.2 (API 1.41)")
    assert "Podman" in line
    assert "\n       mend: sudo apt-get install docker.io docker-buildx; then unset DOCKER_HOST" in line


def test_a_slow_driver_is_told_beside_an_engine_that_is_fine(serve: Serve, docker: Path) -> None:
    assert docker.exists()
    serve((DEBIAN_12[0], {**DEBIAN_12[1], "Driver": "vfs"}))
    fine, slow = lines("Docker engine")
    assert fine.startswith("ok ")
    assert slow.startswith("opt  Docker engine")
    assert "mend: put its data-root on ext4 or xfs" in slow


@pytest.mark.parametrize("desktop", [False, True])
def test_a_build_that_could_only_fail_is_not_begun(serve: Serve, tmp_path: Path, *, desktop: bool) -> None:
    serve((CONTAINERD[0], {**CONTAINERD[1], "OperatingSystem": "Docker Desktop"}) if desktop else PODMAN)
    engine = DockerEngine()
    try:
        with pytest.raises(EngineError, match=r"cannot build this: it is (Podman|Docker Desktop)") as caught:
            engine.run(["touch", str(tmp_path / "begun")], print)
    finally:
        engine.close()
    assert "docker context use default" in (caught.value.hint or "")
    assert not (tmp_path / "begun").exists()


def test_a_command_that_the_engine_does_not_understand(
    serve: Serve, docker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = serve(CONTAINERD)
    write(docker, f'[ "$DOCKER_HOST" = "unix://{path}" ] && echo "{TOO_OLD}" >&2; exit 1')
    [line] = lines("docker command")
    assert line.startswith(f"MISS docker command: {docker} 28.2.2 cannot speak to the engine: {TOO_OLD}\n")
    assert "mend: install one of the engine's age: sudo apt-get install docker-cli docker-buildx" in line
    monkeypatch.setenv("DOCKER_API_VERSION", "1.41")
    [line] = lines("docker command")
    assert "mend: unset DOCKER_API_VERSION" in line
    write(docker, "exit 3")
    [line] = lines("docker command")
    assert f"`{docker} version` ended with 3" in line


@pytest.mark.usefixtures("docker")
def test_without_an_engine_the_command_is_still_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    [line] = lines("Docker engine")
    assert line.startswith("MISS Docker engine: no Docker engine answers")
    [line] = lines("docker command")
    assert line.startswith("ok   docker command")
