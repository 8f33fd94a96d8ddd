"""A machine that is updated: what is asked of it, and what is made of what its two systems say."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from metallize.errors import UsageError
from metallize.model.boot import Boot
from metallize.model.report import Result, Status
from metallize.verify.boot import plan_boot
from metallize.verify.checklist import FIRST, Checklist, Turn
from metallize.verify.course import plan_course
from metallize.verify.phases import update, upkeep
from metallize.verify.phases.update import Offers, Updating
from metallize.verify.prepared import PreparedBoot
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession
from metallize.verify.updating import bundle_of, named_parts, require_update
from tests.unit.verify.bad_answers import Clock, Line
from tests.unit.verify.healthy import HealthyGuest, HealthyWatch, _in_place, _Prepared, request

UPDATE = {"from": "old.img", "install": ["fetch it", "write it"], "version": "say version", "keep": ["/etc/app"]}
LOGINS = {"login": {"user": "admin", "password": "admin"}, "ssh": {"user": "admin", "password": "admin"}}


def asked(**changes: object) -> VerifyRequest:
    boot = Boot.model_validate({**LOGINS, "update": {**UPDATE, **changes}})
    return replace(request(with_assertions=False), boot=boot)


@dataclass
class TwoSystems(HealthyGuest):
    """A guest whose second boot is the updated system; `said` changes what it answers, by a part of the probe."""

    said: dict[str, Callable[[int], tuple[int, str]]] = field(default_factory=dict)
    token: str = ""

    def answers(self, probe: str) -> tuple[int, str]:
        for part, answer in self.said.items():
            if part in probe:
                return answer(self.boots)
        if "printf %s" in probe and upkeep.PLACE in probe:
            self.token = probe.split()[2]
            return 0, ""
        for part, text in (
            (f"cat {upkeep.PLACE}", self.token),
            ("say version", f"{self.boots}.0\n"),
            ("cksum", "4711 12\n"),
            ("fetch it", ""),
            ("write it", ""),
        ):
            if part in probe:
                return 0, text
        return super().answers(probe)


@dataclass
class OldImage(_Prepared):
    def bare(self) -> _Prepared:
        return _Bare(request=self.request)


@dataclass
class _Bare(_Prepared):
    def session(self, guest: Any, turn: Turn = FIRST, checklist: Checklist | None = None) -> BootSession:
        return super().session(guest, turn, checklist or Checklist(plan_boot(self.request, turn)))


def updated(new: str | None = "2.0", *, ends_after: float = 1e9, **said: object) -> dict[str, Result]:
    """What became of each entry, by its id; the new image says that it is version `new`."""
    wanted = asked()
    clock = Clock()
    guest = TwoSystems(
        line=Line(clock=clock, faults=()),
        watch=HealthyWatch(clock=clock, ends_at=clock.now + ends_after),
        clock=clock,
        said={part.replace("_", " "): cast("Any", answer) for part, answer in said.items()},
    )
    checklist = Checklist(update.plan(wanted))
    assert wanted.boot.update is not None
    with _in_place(guest):
        Updating(
            update=wanted.boot.update,
            boot=cast("PreparedBoot", OldImage(request=wanted)),
            checklist=checklist,
            version=new,
            offers=Offers(url="http://10.0.2.100"),
        ).run(cast("Any", guest))
    return {result.id.removeprefix("update/"): result for result in checklist.results()}


def not_held(results: dict[str, Result]) -> list[str]:
    return [id_ for id_, result in results.items() if result.status is not Status.HELD]


def test_the_whole_of_an_update_is_planned_and_comes_last() -> None:
    ids = [entry.id.removeprefix("update/") for entry in plan_course(asked()) if entry.id.startswith("update/")]
    assert ids[:3] == ["update/before", "update/install/1", "update/install/2"]
    assert ids[3] == "reboot/clean"
    assert ids[-4:] == ["update/version", "update/state", "update/keep/1", "update/guest"]
    assert {"login/serial", "ssh/login", "system/units", "rest/state"} <= set(ids)
    assert plan_course(asked())[-1].id == "update/update/guest"


def test_an_update_that_comes_up_holds() -> None:
    assert not_held(updated()) == []


@pytest.mark.parametrize(
    ("said", "failing"),
    [
        ({"say_version": lambda _boots: (0, "1.0\n")}, ["update/version"]),
        ({"say_version": lambda boots: (0, f"{boots * 3}.0\n")}, ["update/version"]),
        ({"cat_/var/tmp": lambda _boots: (1, "")}, ["update/state"]),
        ({"cat_/var/tmp": lambda _boots: (0, "another")}, ["update/state"]),
        ({"cksum": lambda boots: (0, f"{boots}\n")}, ["update/keep/1"]),
        ({"cksum": lambda _boots: (1, "")}, ["update/keep/1"]),
    ],
)
def test_what_is_not_as_it_must_be_is_told(said: dict[str, Any], failing: list[str]) -> None:
    assert not_held(updated(**said)) == failing


def test_a_version_that_the_new_image_does_not_say_is_unseen() -> None:
    assert updated(new=None)["update/version"].status is Status.UNSEEN


def test_a_command_that_fails_ends_the_update() -> None:
    results = updated(fetch_it=lambda _boots: (3, ""))
    assert results["update/install/1"].status is Status.FAILED
    assert results["update/install/2"].status is Status.UNSEEN
    assert results["reboot/clean"].status is Status.UNSEEN
    assert results["update/guest"].status is Status.UNSEEN


def test_a_system_that_says_no_version_is_not_updated() -> None:
    results = updated(say_version=lambda _boots: (127, ""))
    assert results["update/before"].status is Status.UNSEEN
    assert "asked the system before for its version" in results["update/before"].note
    assert not_held(results) == list(results)


def test_a_guest_that_ends_on_the_way_does_not_pass() -> None:
    for seconds in (0.0, 1.0, 5.0, 20.0):
        results = updated(ends_after=seconds)
        if not_held(results):
            assert results["update/guest"].status is Status.FAILED
            assert "it ended" in results["update/guest"].claims[0].actual
            break
    else:
        pytest.fail("the guest never ended while it was updated")


def test_the_snippet_that_digests_sees_names_contents_and_links(tmp_path: Path) -> None:
    def digest() -> str:
        argv = ["sh", "-c", upkeep.digest_probe(str(tmp_path / "kept"))]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/a").write_text("1")
    (tmp_path / "kept/link").symlink_to("a")
    first = digest()
    assert first == digest()
    seen = [first]
    (tmp_path / "kept/a").write_text("2")
    seen.append(digest())
    (tmp_path / "kept/a").rename(tmp_path / "kept/b c")
    seen.append(digest())
    (tmp_path / "kept/link").unlink()
    (tmp_path / "kept/link").symlink_to("b c")
    seen.append(digest())
    assert len(set(seen)) == 4
    gone = subprocess.run(["sh", "-c", upkeep.digest_probe(str(tmp_path / "no"))], check=False, capture_output=True)
    assert gone.returncode == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"from": "x"}, "either `engine`"),
        ({"from": "x", "install": ["a"]}, "either `engine`"),
        ({"from": "x", "engine": "sysupdate", "install": ["a"]}, "leave one out"),
        ({"engine": "sysupdate"}, "from"),
        ({"from": "x", "engine": "sysupdate", "keep": ["etc"]}, "keep"),
        ({"from": "x", "engine": "rauc"}, "installs a bundle: `files` is wanted"),
    ],
)
def test_half_an_update_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Boot.model_validate({"update": given})


def test_what_an_update_needs_is_looked_for_first(tmp_path: Path) -> None:
    old = tmp_path / "old.img"
    with pytest.raises(UsageError, match="there is no image"):
        require_update(asked(**{"from": str(old)}))
    old.write_bytes(b"")
    require_update(asked(**{"from": str(old)}))
    with pytest.raises(UsageError, match="there is no folder"):
        require_update(asked(**{"from": str(old), "files": str(tmp_path / "no")}))
    by_engine: dict[str, object] = {"from": str(old), "engine": "sysupdate", "install": [], "version": None}
    with pytest.raises(UsageError, match="has no parts"):
        require_update(asked(**by_engine))
    require_update(replace(asked(**by_engine), manifest=MANIFEST))


def test_rauc_installs_the_one_bundle_of_its_folder(tmp_path: Path) -> None:
    old, bundles = tmp_path / "old.img", tmp_path / "bundles"
    old.write_bytes(b"")
    bundles.mkdir()
    by_rauc: dict[str, object] = {
        "from": str(old), "engine": "rauc", "files": str(bundles), "install": [], "version": None
    }  # fmt: skip
    (bundles / "notes.txt").write_text("no bundle")
    with pytest.raises(UsageError, match="has no bundle"):
        require_update(asked(**by_rauc))
    (bundles / "web 2.raucb").write_bytes(b"")
    require_update(asked(**by_rauc))
    wanted = asked(**by_rauc).boot.update
    assert wanted is not None
    assert bundle_of(wanted) == "web 2.raucb"
    assert 'rauc install "$bundle"' in wanted.commands[0]
    (bundles / "web-3.raucb").write_bytes(b"")
    with pytest.raises(UsageError, match=r"has the bundles web 2\.raucb, web-3\.raucb"):
        require_update(asked(**by_rauc))


@pytest.mark.parametrize(
    ("release", "version"), [("VERSION_ID=13", "13"), ("VERSION_ID=13\nIMAGE_VERSION=2.1", "2.1"), ("ID=x", "")]
)
def test_rauc_does_not_say_which_version_runs_and_the_system_does(tmp_path: Path, release: str, version: str) -> None:
    wanted = asked(engine="rauc", files="bundles", install=[], version=None).boot.update
    assert wanted is not None
    (tmp_path / "os-release").write_text(release)
    script = wanted.version_command.replace("/etc/os-release", str(tmp_path / "os-release"))
    done = subprocess.run(["sh", "-c", script], check=False, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode == 0) == (version, bool(version))


MANIFEST = {
    "platform": "linux/amd64",
    "release": {"name": "web", "version": "2"},
    "parts": [{"suffix": ".efi", "offset": 4096, "size": 10, "sha256": "0" * 64}],
}


def test_parts_are_called_as_in_a_release() -> None:
    [(name, part)] = named_parts(MANIFEST, Path("x.img")).items()
    assert (name, part.offset, part.size_bytes) == ("web_2_x86-64.efi", 4096, 10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("there", "installed"),
    [
        (("curl", "wget"), "fetched by curl"),
        (("wget",), "fetched by wget"),
        ((), "http://10.0.2.100/web 2.raucb"),
    ],
)
def test_a_bundle_is_fetched_by_what_there_is(tmp_path: Path, there: tuple[str, ...], installed: str) -> None:
    wanted = asked(engine="rauc", files="bundles", install=[], version=None).boot.update
    assert wanted is not None
    for name in there:
        last = f'[ "$before" != -o -a "$before" != -O ] || echo fetched by {name} >"$last"; before=$last'
        program(tmp_path / name, f'for last in "$@"; do {last}; done')
    program(tmp_path / "rauc", 'if [ -e "$2" ]; then cat "$2"; else echo "$2"; fi; exit 7')
    for tool in ("rm", "cat"):
        (tmp_path / tool).symlink_to(f"/bin/{tool}")
    bundle = tmp_path / "bundle"
    script = wanted.commands[0].replace("bundle=/var/tmp/metallize.raucb", f"bundle={bundle}")
    env = {"PATH": str(tmp_path), "METALLIZE_UPDATE": "http://10.0.2.100/web 2.raucb"}
    done = subprocess.run(["/bin/sh", "-c", script], check=False, capture_output=True, text=True, env=env)
    assert (done.returncode, done.stderr.strip()) == (7, installed)
    assert not bundle.exists()


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\nbefore=\n{text}\n")
    path.chmod(0o755)
