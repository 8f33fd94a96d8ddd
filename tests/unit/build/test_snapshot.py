"""base.snapshot: a base of the packages as they were, from a mirror that a setting names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metallize.build.base import bases
from metallize.build.base.bases import Origin, Renewal
from metallize.build.base.snapshot import mirrors
from metallize.build.currency import changes_since
from metallize.build.notes import notes
from metallize.build.packages.census import Census, snapshot
from metallize.build.plan import BuildPlan
from metallize.build.script import shell_script
from metallize.build.step import Step, filled
from metallize.build.steps import BASE, TOOLS_BASE, Steps, steps_of
from metallize.catalog import Catalog
from metallize.command import run
from metallize.config import load_profile
from metallize.config.vocabulary import Vocabulary
from metallize.errors import Location, ProfileError
from metallize.model.loaded import Profile
from metallize.model.profile import Base, Platform
from metallize.planning import plan_of
from tests.documents import blocks, section

from .conftest import GENERATOR, FakeEngine, Layers, MakePlan, Recorder, image, profile

DATE = "20260203T000000Z"
ADDRESS = "http://mirror.example.org/archive/debian/{date}/"
HELD = {"debian": ADDRESS}
PLACE = Location(path=Path("profiles/my.yaml"), line=3, column=9)
SOURCE = (
    "deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
    f"http://mirror.example.org/archive/debian/{DATE}/ trixie main"
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture(scope="module")
def vocabulary(catalog: Catalog) -> Vocabulary:
    return catalog.vocabulary()


def dated(snapshot: str | None = "2026-02-03", **changes: object) -> Profile:
    return profile(base=Base(snapshot=snapshot), locations={("base", "snapshot"): PLACE}, args={}, **changes)


def base_of(steps: Steps, name: str = BASE) -> Step:
    return next(step for step in steps if step.id == name)


def made_with(step: Step) -> tuple[str, ...]:
    """The arguments of mmdebstrap."""
    [archive] = [each for each in step.otherwise if each.id.endswith("_archive")]
    return filled(archive.argv, {"METALLIZE_SCRATCH": "/scratch"})


@pytest.fixture
def plan(make_plan: MakePlan) -> BuildPlan:
    return make_plan(dated(), mirrors=HELD)


def test_the_packages_are_those_of_the_date_and_no_registry_is_asked(plan: BuildPlan) -> None:
    step = base_of(steps_of(plan))
    assert made_with(step)[-1] == SOURCE
    assert step.places[0].startswith(f"metallize/base-debian:trixie-amd64-{DATE}-")
    engine = FakeEngine(
        images={name: image(name) for name in ("debian:trixie", "metallize/base-debian:trixie-amd64", *step.places)},
        registry={"debian:trixie": image("debian:trixie")},
    )
    assert bases.resolve(engine, step, Recorder()).image.id == f"sha256:{step.places[0]}"
    found = bases.resolve(engine, step, Recorder(), Renewal.NOTHING)
    assert (found.origin, engine.commands) == (Origin.BOOTSTRAP, [])


def test_the_date_is_a_part_of_all_that_says_what_an_image_is_made_of(plan: BuildPlan, make_plan: MakePlan) -> None:
    others = [
        make_plan(dated(None), mirrors=HELD),
        make_plan(dated("2026-02-04"), mirrors=HELD),
        make_plan(dated(), mirrors={"debian": "http://other.example.org/{date}"}),
    ]
    plans = [plan, *others]
    assert len({each.id for each in plans}) == len(plans)
    assert len({base_of(steps_of(each)).key for each in plans}) == len(plans)
    assert len({base_of(steps_of(each)).places[-1] for each in plans}) == len(plans)
    manifest = {"plan": plan.id, "package_snapshot": snapshot(Census(), None, DATE)}
    assert manifest["package_snapshot"]["archive"] == DATE  # type: ignore[index]
    assert not changes_since(manifest, plan, steps_of(plan), {}).asked
    assert "base.snapshot" in changes_since(manifest, others[1], steps_of(others[1]), {}).asked


def test_the_printed_plan_makes_it_the_same_way(plan: BuildPlan) -> None:
    script = shell_script(plan)
    assert SOURCE in script
    assert " pull " not in script
    assert f"debian:trixie (linux/amd64) as of {DATE}" in script


def test_the_tools_are_of_the_date_where_they_are_of_the_distribution(make_plan: MakePlan, layers: Layers) -> None:
    """Else GRUB's or mke2fs's next version would make other bytes; of another distribution the date says nothing."""
    own = make_plan(dated(), mirrors=HELD)
    assert base_of(steps_of(own), TOOLS_BASE).places == base_of(steps_of(own)).places
    mirror = {"debian": ADDRESS, "ubuntu": "http://mirror.example.org/ubuntu/{date}"}
    for base in ("ubuntu:24.04", "debian:12"):
        other = make_plan(dated(images=(base,)), rootfs=[base, layers.read("b.dockerfile")], mirrors=mirror)
        assert base_of(steps_of(other), TOOLS_BASE).places[0] == "debian:trixie"


def test_the_building_hosts_own_tools_are_of_the_date_too(make_plan: MakePlan) -> None:
    """They are the very versions of the rootfs's packages, of another architecture."""
    plan = make_plan(
        dated(platform=Platform.ARM64), generator=replace(GENERATOR, platforms=tuple(Platform)), mirrors=HELD
    )
    native = plan.native_tools
    assert native is not None
    assert native.native_base is not None
    assert (native.native_base.platform, native.native_base.snapshot) == (Platform.AMD64, DATE)


@pytest.mark.parametrize(
    ("setting", "lines"),
    [
        (ADDRESS, [SOURCE]),
        ("deb http://m/{date} {suite} main", [f"deb [check-valid-until=no] http://m/{DATE} trixie main"]),
        (
            "deb [trusted=yes] http://m/{date}/ trixie main\n\n deb [check-valid-until=1] http://s/{date} {suite}-x a",
            [
                f"deb [check-valid-until=no trusted=yes] http://m/{DATE}/ trixie main",
                f"deb [check-valid-until=1] http://s/{DATE} trixie-x a",
            ],
        ),
    ],
)
def test_a_mirror_is_an_address_or_lines(make_plan: MakePlan, setting: str, lines: list[str]) -> None:
    plan = make_plan(dated(), mirrors={"debian": setting})
    assert list(made_with(base_of(steps_of(plan)))[-len(lines) :]) == lines


def test_ubuntus_has_its_components(make_plan: MakePlan) -> None:
    base = "ubuntu:24.04"
    plan = make_plan(dated(images=(base,)), rootfs=[base], tools=[], mirrors={"ubuntu": "http://m/{date}"})
    [line] = plan.rootfs.base.sources if plan.rootfs.base else [""]
    assert line.endswith(f"ubuntu-archive-keyring.gpg] http://m/{DATE} noble main restricted universe multiverse")


@pytest.mark.parametrize(
    ("base", "settings", "words", "hint"),
    [
        (
            "debian:trixie",
            {},
            "which mirror has debian trixie as it was at 20260203T000000Z",
            "set METALLIZE_DEBIAN_SNAPSHOT=",
        ),
        ("ubuntu:24.04", HELD, "which mirror has ubuntu noble", "set METALLIZE_UBUNTU_SNAPSHOT="),
        (
            "debian:trixie",
            {"debian": "http://m/"},
            "METALLIZE_DEBIAN_SNAPSHOT: `http://m/` has no {date}",
            "for example",
        ),
        ("debian:trixie", {"debian": "m/{date}"}, "`m/{date}` is neither an address nor a line", "for example"),
        ("alpine:3.20", HELD, "alpine:3.20 is not made of packages", "begin `images` with"),
        (f"debian:trixie@sha256:{'a' * 64}", HELD, "has a digest", "leave it out"),
        (None, HELD, "the lowest layer says itself what it stands on", "leave it out"),
    ],
)
def test_what_cannot_be_had_is_told_with_its_place(
    make_plan: MakePlan, layers: Layers, base: str | None, settings: dict[str, str], words: str, hint: str
) -> None:
    lowest = base or layers.read("own.dockerfile", "FROM scratch\n")
    with pytest.raises(ProfileError) as caught:
        make_plan(dated(), rootfs=[lowest, layers.read("b.dockerfile")], mirrors=settings)
    [problem] = caught.value.problems
    assert problem.location == PLACE
    assert words in problem.message
    assert hint in (problem.hint or "")


def test_what_a_build_stage_takes_from_today_is_said(make_plan: MakePlan, layers: Layers) -> None:
    stages = "ARG METALLIZE_SRC_IMG\nFROM debian:trixie AS build\nFROM ${METALLIZE_SRC_IMG}\n"
    text = f"{stages}COPY --from=build /a /a\nCOPY --from=alpine:3 /b /b\n"
    rootfs = ["debian:trixie", layers.read("b.dockerfile", text)]
    [said] = notes(make_plan(dated(), rootfs=rootfs, mirrors=HELD))
    assert "b.dockerfile: it takes from debian:trixie as it is today" in said
    assert not list(notes(make_plan(dated(None), rootfs=rootfs, mirrors=HELD)))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-02-03", DATE),
        ("20260203", DATE),
        ('"20260203"', DATE),
        ("20260203T121314Z", "20260203T121314Z"),
        ("2026-02-03T12:13:14Z", "20260203T121314Z"),
        ("", None),
        ("2026-02-30", "a date is a day like 2026-11-01"),
        ("202623", "a date is a day like"),
        ("yesterday", "a date is a day like"),
        ("[2026-02-03]", "a date is a day like"),
        ("2999-01-01", "a date that has been is wanted"),
    ],
)
def test_dates(tmp_path: Path, vocabulary: Vocabulary, written: str, read: str | None) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(
        f"base:\n  snapshot: {written}\nimages: [debian:trixie]\noutput: {{generator: ext4, file: web.img}}\n"
    )
    if read is None or read.endswith("Z"):
        assert load_profile(path, vocabulary=vocabulary).base.snapshot == read
        return
    with pytest.raises(ProfileError) as caught:
        load_profile(path, vocabulary=vocabulary)
    [problem] = caught.value.problems
    assert problem.location is not None
    assert (problem.location.line, problem.message[:12]) == (2, "`snapshot`: ")
    assert read in problem.message


def test_the_setting_is_the_environments(
    tmp_path: Path, catalog: Catalog, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METALLIZE_DEBIAN_SNAPSHOT", f" {ADDRESS}\n")
    monkeypatch.setenv("METALLIZE_UBUNTU_SNAPSHOT", "")
    assert mirrors() == HELD
    path = tmp_path / "web.yaml"
    path.write_text("base: {snapshot: 2026-02-03}\nimages: [debian:trixie]\noutput: {generator: ext4, file: web.img}\n")
    plan = plan_of(load_profile(path, vocabulary=vocabulary), catalog)
    assert plan.rootfs.base is not None
    assert plan.rootfs.base.sources == (SOURCE,)


def test_the_example_of_the_page_is_of_its_day(
    tmp_path: Path, catalog: Catalog, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = section("docs/same-bytes.md", "As it was on a day")
    [text], [export] = blocks(part, "yaml"), blocks(part, "sh")
    setting = run(["sh", "-c", f'{export}\nprintf %s "$METALLIZE_DEBIAN_SNAPSHOT"']).stdout
    monkeypatch.setenv("METALLIZE_DEBIAN_SNAPSHOT", setting)
    path = tmp_path / "pinned.yaml"
    path.write_text(text)
    base = plan_of(load_profile(path, vocabulary=vocabulary), catalog).rootfs.base
    assert base is not None
    assert base.sources == tuple(
        f"deb [check-valid-until=no] http://mirror.example.org/archive/debian{more[0]}/{DATE}/ trixie{more[1]} main"
        for more in (("", ""), ("-security", "-security"))
    )
