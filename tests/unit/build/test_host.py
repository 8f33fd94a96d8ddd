"""The host: the doctor's findings, where the engine is, and the disk space and answer of a generator's run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from docker.errors import APIError, DockerException

from metallize import doctor
from metallize.build import generator as generators
from metallize.build.engines import endpoint
from metallize.build.engines.engine import Assembly
from metallize.errors import EngineError, GeneratorError, HostError
from metallize.model.profile import ImageFormat

from .conftest import FakeEngine


@pytest.fixture
def bare_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A host with an empty PATH and no engine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setattr("metallize.build.engines.buildkit.USUAL_FOLDERS", ())
    return tmp_path


@pytest.mark.usefixtures("bare_host")
def test_the_doctor_of_a_bare_host_names_what_is_missing_and_what_mends_it() -> None:
    findings = {finding.subject: finding for finding in doctor.examine()}
    for subject in ("Docker engine", "docker command", "qemu-system-x86_64", "qemu-img", "mmdebstrap"):
        assert not findings[subject].fine
        assert findings[subject].mend
    assert findings["qemu-system-x86_64"].line().startswith("MISS qemu-system-x86_64: not installed")
    assert findings["mmdebstrap"].line().startswith("opt  mmdebstrap")
    assert "mend: sudo apt-get install qemu-utils" in findings["qemu-img"].line()
    assert json.dumps([finding.as_json() for finding in findings.values()])


def test_a_finding_that_is_fine_needs_no_mending() -> None:
    finding = doctor.Finding(subject="x", fine=True, detail="here", mend="install it")
    assert finding.line() == "ok   x: here"


@pytest.mark.usefixtures("bare_host")
def test_an_engine_that_is_not_there_is_said_with_its_address() -> None:
    with pytest.raises(EngineError, match=r"no Docker engine answers at unix://.*/no\.sock") as caught:
        endpoint.connect()
    assert "scripts/quickstart" in (caught.value.hint or "")


@pytest.mark.parametrize("host", ["tcp://192.0.2.1:2376", "ssh://user@example.org", "https://example.org:2376"])
def test_an_engine_on_another_host_is_refused(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EngineError, match="cannot see this host's files") as caught:
        endpoint.connect()
    assert host in caught.value.message
    assert "DOCKER_HOST" in (caught.value.hint or "")


def test_the_address_follows_the_docker_commands_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert endpoint.address() == "unix:///var/run/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", "unix:///x.sock")
    assert endpoint.address() == "unix:///x.sock"


@pytest.mark.parametrize(
    ("exc", "words", "hint"),
    [
        (DockerException("('Connection aborted.', PermissionError(13, 'Permission denied'))"), "refuses", "usermod"),
        (DockerException("gone"), "no Docker engine answers", "dockerd"),
        (APIError("500", explanation="write: no space left on device"), "refused while working: write", "prune"),
        (APIError("400", explanation="invalid reference"), "refused while working: invalid reference", ""),
    ],
)
def test_what_the_engine_says_is_passed_on(exc: Exception, words: str, hint: str) -> None:
    error = endpoint.failed("working", exc)
    assert words in error.message
    assert hint in (error.hint or "")


def assembly(out: Path) -> Assembly:
    return Assembly(
        name="my", seal=("seal",), hold=("hold",), export=("export",), generate=("generate",), sealed="0", out=out,
        label="x",
    )  # fmt: skip


def writes(content: bytes, answer: str = '{"kernel": "6.9"}') -> Callable[[Assembly], None]:
    def write(given: Assembly) -> None:
        (given.out / "image").write_bytes(content)
        (given.out / "result.json").write_text(answer)

    return write


ISO = bytes(0x8001) + b"CD001"


def test_an_image_with_its_answer(tmp_path: Path) -> None:
    engine = FakeEngine(assembled=writes(ISO))
    made = generators.make_image(engine, assembly(tmp_path), ImageFormat.ISO, print, rootfs_bytes=1 << 20)
    assert (made.size_bytes, made.facts["kernel"]) == (len(ISO), "6.9")
    assert made.sha256 == generators.sha256_of(tmp_path / "image")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (writes(b"junk"), "is no iso"),
        (writes(ISO, answer="{"), "its answer is not whole"),
        (lambda _assembly: None, "its answer is not whole"),
    ],
)
def test_a_generator_that_breaks_its_contract(tmp_path: Path, act: Callable[[Assembly], None], words: str) -> None:
    with pytest.raises(GeneratorError, match=words):
        generators.make_image(
            FakeEngine(assembled=act), assembly(tmp_path), ImageFormat.ISO, print, rootfs_bytes=1 << 20
        )


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(("image_format", "factor"), [(ImageFormat.ISO, 1), (ImageFormat.RAW, 2)])
def test_a_disk_that_is_too_small_is_noticed_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image_format: ImageFormat, factor: int
) -> None:
    need = factor * (1 << 30) + generators._SPARE_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(need, 0, need))
    generators.require_space(tmp_path, 1 << 30, image_format)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(need, 1, need - 1))
    with pytest.raises(HostError, match="MiB free; making this image needs about") as caught:
        generators.require_space(tmp_path, 1 << 30, image_format)
    assert "--build-dir" in (caught.value.hint or "")
