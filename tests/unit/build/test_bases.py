"""Base images: what is local, else the registry, else the distribution's own packages, and never silently."""

from __future__ import annotations

import fcntl
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from metallize.build.base import bases
from metallize.build.base.bases import Origin, Renewal
from metallize.build.base.bootstrap import base_tag, bootstrap_argv, distribution, pulled_tag, supports
from metallize.build.plan import BaseImage, LayerBuild
from metallize.build.step import SCRATCH, Step, filled
from metallize.build.steps import base_step
from metallize.errors import EngineError, HostError
from metallize.events import Level, Note, Outcome, StepFinished, StepOutput
from metallize.model.profile import Platform

from .conftest import FakeEngine, Recorder, image

RECIPE = Path("base") / "Dockerfile"


def base(reference: str = "debian:trixie", platform: Platform = Platform.AMD64) -> Step:
    return base_step("base", BaseImage(reference=reference, platform=platform), RECIPE)


TRIXIE = base()
TAG = "metallize/base-debian:trixie-amd64"
MMDEBSTRAP = r"""#!/bin/sh
for target do case "$target" in */base.tar) break ;; esac; done
printf '%s\n' "$@" >>"$RECORD"
echo "I: chroot is ready"
[ -z "${FAILING-}" ] || { echo "E: $FAILING"; exit 1; }
printf 'a base' >"$target"
"""


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mmdebstrap on PATH that writes down its arguments here."""
    (tmp_path / "mmdebstrap").write_text(MMDEBSTRAP)
    (tmp_path / "mmdebstrap").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "record"


def notes(recorder: Recorder) -> list[Note]:
    return [event for event in recorder.events if isinstance(event, Note)]


def test_a_local_image_is_taken_without_a_word_and_by_a_name_that_stays_with_it() -> None:
    engine, recorder = FakeEngine(images={"debian:trixie": image("debian:trixie")}), Recorder()
    found = bases.resolve(engine, TRIXIE, recorder)
    assert (found.origin, found.reference) == (Origin.LOCAL, "debian:trixie")
    assert found.image.id == "sha256:debian:trixie"
    assert found.image.reference.startswith("metallize/from:")
    assert (recorder.events, engine.commands) == ([], [])


def test_an_image_that_was_bootstrapped_before_is_taken() -> None:
    engine = FakeEngine(images={TAG: image(TAG)})
    assert bases.resolve(engine, TRIXIE, Recorder()).origin is Origin.BOOTSTRAP


def test_a_local_image_of_another_platform_is_not_taken_and_not_lost() -> None:
    """Two architectures under one tag: whichever was pulled last has it, and the other one is there all the same."""
    arm, amd = (replace(image("debian:trixie", platform=each), id=f"sha256:{each}") for each in Platform)
    arm, amd = (arm, amd) if arm.platform is Platform.ARM64 else (amd, arm)
    engine = FakeEngine(images={"debian:trixie": arm}, registry={"debian:trixie": amd})
    assert bases.resolve(engine, TRIXIE, Recorder()).origin is Origin.REGISTRY
    engine.registry.clear()
    foreign = bases.resolve(engine, base(platform=Platform.ARM64), Recorder())
    assert (foreign.origin, foreign.image.id) == (Origin.REGISTRY, arm.id)
    del engine.images["debian:trixie"]
    assert bases.resolve(engine, TRIXIE, Recorder()).image.id == amd.id
    assert len(engine.commands) == 1


def test_a_registry_that_gives_another_platform_gives_nothing() -> None:
    engine = FakeEngine(registry={"own:1": image("own:1", platform=Platform.ARM64)})
    with pytest.raises(EngineError, match="it gave one for linux/arm64"):
        bases.resolve(engine, base("own:1"), Recorder())


def test_a_pull_takes_nothing_as_it_is(record: Path) -> None:
    newer = replace(image("debian:trixie"), id="sha256:newer")
    engine = FakeEngine(images={"debian:trixie": image("debian:trixie")}, registry={"debian:trixie": newer})
    assert bases.resolve(engine, TRIXIE, Recorder(), Renewal.MADE).image.id == "sha256:debian:trixie"
    assert bases.resolve(engine, TRIXIE, Recorder(), Renewal.ALL).image.id == "sha256:newer"
    made = FakeEngine(images={TAG: image(TAG)})
    assert bases.resolve(made, TRIXIE, Recorder(), Renewal.MADE).image.id != f"sha256:{TAG}"
    assert made.loaded == [TAG]
    assert not any(words[0] == "pull" for words in made.commands), "what is made here is made again, and nothing asked"
    assert record.exists()


def test_a_reference_with_a_digest_is_that_image_or_none() -> None:
    pinned = base(f"debian:trixie@sha256:{'0' * 64}")
    engine = FakeEngine(images={TAG: image(TAG)})
    with pytest.raises(EngineError, match="no route to host") as caught:
        bases.resolve(engine, pinned, Recorder())
    assert "leave the digest out: debian:trixie can be made" in (caught.value.hint or "")


def test_a_digest_of_two_architectures_is_freed_for_the_other_one() -> None:
    """Docker up to 28 refuses the pull else: `Cannot overwrite digest`. The first image keeps its own names."""
    reference = f"example.org:5000/own/debian:trixie@sha256:{'0' * 64}"
    arm, amd = (
        replace(image(reference, platform=each), id=f"sha256:{each}") for each in (Platform.ARM64, Platform.AMD64)
    )
    engine = FakeEngine(images={reference: arm}, registry={reference: amd})
    assert bases.resolve(engine, base(reference), Recorder()).image.id == amd.id
    alone = f"example.org:5000/own/debian@sha256:{'0' * 64}"
    assert engine.commands == [["rmi", alone], ["pull", "--platform", "linux/amd64", reference]]
    assert bases.resolve(engine, base(reference, Platform.ARM64), Recorder()).image.id == arm.id


def test_the_registry_is_asked_and_its_progress_shown() -> None:
    recorder = Recorder()
    engine = FakeEngine(registry={"debian:trixie": image("debian:trixie")})
    assert bases.resolve(engine, TRIXIE, recorder).origin is Origin.REGISTRY
    assert engine.commands == [["pull", "--platform", "linux/amd64", "debian:trixie"]]
    assert any(isinstance(event, StepOutput) and event.line == "pulling" for event in recorder.events)


def test_without_a_registry_debian_is_made_from_packages_and_said_so(record: Path) -> None:
    engine, recorder = FakeEngine(), Recorder()
    made = bases.resolve(engine, TRIXIE, recorder)
    assert (made.origin, made.reference, engine.loaded) == (Origin.BOOTSTRAP, "debian:trixie", [TAG])
    (note,) = notes(recorder)
    assert note.level is Level.WARNING
    assert "made from the distribution's own packages" in note.text
    assert "no route to host" in note.text
    finished = [event for event in recorder.events if isinstance(event, StepFinished)]
    assert [(event.step, event.outcome, event.detail) for event in finished] == [
        ("base debian:trixie", Outcome.NOTHING, "no registry gave it"),
        ("bootstrap debian:trixie", Outcome.DONE, ""),
        ("load debian:trixie", Outcome.DONE, ""),
    ]
    *words, target = record.read_text().splitlines()
    assert words[-1] == "trixie"
    assert "--architectures=amd64" in words
    assert not Path(target).parent.exists(), "the archive's folder is removed"


def test_what_a_killed_build_left_is_removed_and_what_another_works_in_is_not(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    names = ("left0000", "used0000", "new00000", "mounted0")
    left, used, new, mounted = (scratch / f"metallize-base-{name}" for name in names)
    for folder in (left, used, new, mounted):
        (folder / "etc").mkdir(parents=True)
        if folder is not new:
            os.utime(folder, (0, 0))
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    monkeypatch.setattr(bases, "_mounted_below", lambda folder: folder == mounted)
    number = os.open(used, os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_EX)
    try:
        bases.resolve(FakeEngine(), TRIXIE, Recorder())
    finally:
        os.close(number)
    assert record.exists(), "a base was made"
    assert sorted(scratch.iterdir()) == sorted((used, new, mounted))


def test_a_base_of_another_architecture_is_made_with_tools_of_this_hosts(record: Path) -> None:
    native = LayerBuild(
        name="native-tools",
        summary="x",
        dockerfile=Path("native") / "Dockerfile",
        context=Path("native"),
        build_args={},
        repository="metallize/native-tools",
        key="0",
        native_base=BaseImage(reference="debian:trixie", platform=Platform.AMD64),
    )
    foreign = base_step("base", BaseImage(reference="debian:trixie", platform=Platform.ARM64), RECIPE, native)
    engine, recorder = FakeEngine(images={TAG: image(TAG)}), Recorder()
    made = bases.resolve(engine, foreign, recorder)
    assert (made.origin, engine.loaded) == (Origin.BOOTSTRAP, ["metallize/base-debian:trixie-arm64"])
    [exporting] = [words for words in engine.commands if "--target" in words]
    assert exporting[exporting.index("--platform") + 1] == "linux/arm64"
    assert any(word.startswith("METALLIZE_NATIVE_IMG=metallize/from:") for word in exporting)
    words = record.read_text().splitlines()
    unpacking = words.index('--extract-hook=tar -C "$1" --exclude=etc/apt -xf "$METALLIZE_SCRATCH/native.tar"')
    removing = words.index('--customize-hook=sh "$1/usr/local/lib/metallize-native/remove" "$1"')
    assert 0 < unpacking < removing < words.index("trixie")


def test_another_image_without_a_registry_is_an_error_with_the_reason() -> None:
    own = base("localhost:5000/own/os:1")
    with pytest.raises(EngineError) as caught:
        bases.resolve(FakeEngine(), own, Recorder())
    assert "no route to host" in caught.value.message
    assert caught.value.hint is not None
    assert "docker load" in caught.value.hint
    with pytest.raises(EngineError, match="works for Debian and Ubuntu"):
        bases.bootstrap(FakeEngine(), own, Recorder())


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("cannot find keyring", "debian-keyring or debian-archive-keyring"),
        ("Failed to fetch x", "package servers cannot be reached"),
        ("Failed to fetch x 404  Not Found [IP: 192.0.2.1 80]", "the mirror has nothing there"),
        ("[signed-by=/x/keyrings/y.gpg] does not have a Release file", "base.snapshot and METALLIZE_DEBIAN_SNAPSHOT"),
        ("newuidmap failed", "user namespaces"),
        ("qemu-user-static needed", "emulation"),
        ("No space left on device", "TMPDIR"),
        ("strange", "mmdebstrap's"),
    ],
)
def test_a_bootstrap_that_fails_says_why(record: Path, monkeypatch: pytest.MonkeyPatch, words: str, hint: str) -> None:
    monkeypatch.setenv("FAILING", words)
    with pytest.raises(HostError) as caught:
        bases.bootstrap(FakeEngine(), TRIXIE, Recorder())
    assert f"E: {words}" in caught.value.message
    assert hint in (caught.value.hint or "")
    assert not Path(record.read_text().splitlines()[-1]).parent.exists()


def test_without_mmdebstrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="needs mmdebstrap") as caught:
        bases.resolve(FakeEngine(), TRIXIE, Recorder())
    assert "apt-get install mmdebstrap" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("reference", "suite"),
    [
        ("debian:trixie", "debian trixie"),
        ("debian:13", "debian trixie"),
        ("debian:13.1", "debian trixie"),
        ("debian:12-slim", "debian bookworm"),
        ("debian:trixie-slim", "debian trixie"),
        ("debian", "debian stable"),
        ("debian:latest", "debian stable"),
        ("docker.io/library/debian:sid", "debian sid"),
        ("ubuntu:20.04", "ubuntu focal"),
        ("ubuntu:noble", "ubuntu noble"),
        ("ubuntu", "ubuntu noble"),
        ("fedora:41", None),
        ("example.org/debian:13", None),
        ("debian:--hook=x", None),
        ("debian@sha256:0123", None),
        (f"debian:trixie@sha256:{'0' * 64}", None),
    ],
)
def test_the_distribution_behind_a_reference(reference: str, suite: str | None) -> None:
    found = distribution(reference)
    assert (f"{found.id} {found.suite}" if found else None) == suite


@pytest.mark.parametrize(
    ("layer", "reference", "fits"),
    [
        ("debian:13", "debian:trixie", True),
        ("debian:13", "debian:trixie-slim", True),
        ("debian:13", "docker.io/library/debian:13.2", True),
        ("debian:13", "debian:bookworm", False),
        ("debian:13", "ubuntu:24.04", False),
        ("debian:13", f"debian:trixie@sha256:{'0' * 64}", True),
        ("debian:13", f"debian:12@sha256:{'0' * 64}", False),
        ("ubuntu:24.04", f"docker.io/library/ubuntu:noble@sha256:{'0' * 64}", True),
        ("ubuntu:24.04", f"debian:trixie@sha256:{'0' * 64}", False),
        ("debian:13", f"ubuntu@sha256:{'0' * 64}", True),
        ("debian:13", "example.org:5000/debian:12", True),
    ],
)
def test_whether_a_layer_fits_a_base(layer: str, reference: str, fits: bool) -> None:
    """Nothing is known of a digest alone, and of what others call debian: then the layer is tried."""
    assert supports([layer], reference) is fits


def test_who_may_not_pull_is_told_to_log_in() -> None:
    class Closed(FakeEngine):
        def run(self, argv: object, output: object) -> list[str] | None:
            return ["Error response from daemon: no basic auth credentials"]

    with pytest.raises(EngineError) as caught:
        bases.resolve(Closed(), base("registry.example.org:5000/own/os:1"), Recorder())
    assert (caught.value.hint or "").startswith("log in to its registry (docker login registry.example.org:5000)")
    with pytest.raises(EngineError) as caught:
        bases.resolve(Closed(), base("somebody/os:1"), Recorder())
    assert "(docker login)" in (caught.value.hint or "")


@pytest.mark.parametrize("mirror", ["http://127.0.0.1:8000/debian", "deb [trusted=yes] http://[::1]:80/a%20b x main"])
def test_a_mirror_of_ones_own(record: Path, monkeypatch: pytest.MonkeyPatch, mirror: str) -> None:
    monkeypatch.setenv("METALLIZE_DEBIAN_MIRROR", f" {mirror} ")
    engine = FakeEngine(images={TAG: image(TAG)})
    made = bases.resolve(engine, base(), Recorder())
    assert record.read_text().splitlines()[-1] == mirror
    [tag] = engine.loaded
    assert tag.startswith(f"{TAG}-"), "another base than the one of mmdebstrap's own mirror"
    assert bases.resolve(engine, base(), Recorder()).image == made.image
    assert engine.loaded == [tag]
    monkeypatch.setenv("METALLIZE_DEBIAN_MIRROR", "")
    assert bases.resolve(engine, base(), Recorder()).image.id == f"sha256:{TAG}"


def test_ubuntus_components_are_those_of_its_image() -> None:
    """live-boot is in universe."""
    wanted = distribution("ubuntu:24.04")
    assert wanted is not None
    assert "--components=main,restricted,universe,multiverse" in bootstrap_argv(wanted, Platform.AMD64)


def test_the_bootstrap_command_and_the_name_of_what_it_makes() -> None:
    wanted = distribution("debian:12")
    assert wanted is not None
    argv = filled(bootstrap_argv(wanted, Platform.ARM64), {SCRATCH: "/scratch"})
    assert argv[0] == "mmdebstrap"
    assert argv[-2:] == ("bookworm", "/scratch/base.tar")
    assert "--architectures=arm64" in argv
    assert base_tag("debian:12", Platform.ARM64) == "metallize/base-debian:12-arm64"
    assert base_tag("debian", Platform.AMD64) == "metallize/base-debian:latest-amd64"
    assert pulled_tag("Host:5000/a/b:1", Platform.AMD64) == "metallize/pulled-host-5000-a-b:1-amd64"
    digest = f"debian:12@sha256:{'ab' * 32}"
    assert pulled_tag(digest, Platform.AMD64) == f"metallize/pulled-debian:12-{'ab' * 8}-amd64"
