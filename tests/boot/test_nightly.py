"""A nightly of images that are made and booted in seconds: good ones, one that breaks overnight, one that is wrong."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from metallize.command import Finished, spawn
from tests.boot.kernel import tiny_kernel
from tests.build.conftest import HEADER, PROFILE, SYSTEM
from tests.conftest import ROOT, Cli
from tests.unit.night.telling.hooks import listening
from tests.unit.report.test_page import assert_stands_alone

pytestmark = [pytest.mark.docker, pytest.mark.boot]
BANNER = "[    0.000000] Linux version 6.12 (tiny)\r\n"
GOOD = f"{BANNER}\r\ntiny login: "
PANIC = f"{BANNER}[    1.000000] Kernel panic - not syncing: no luck tonight\r\n"


def tiny_profile(folder: Path, name: str, says: str, *, turns: int = 0) -> Path:
    """A profile, with a layer of its own that holds its kernel."""
    (folder / "system.dockerfile").write_text(SYSTEM)
    (folder / f"{name}-kernel").write_bytes(tiny_kernel(says, turns=turns))
    (folder / f"{name}.dockerfile").write_text(
        f"# The kernel of {name}.\n{HEADER}COPY {name}-kernel /boot/vmlinuz-1.0\n"
    )
    path = folder / f"{name}.yaml"
    images = f"debian:trixie, system.dockerfile, {name}.dockerfile"
    text = PROFILE.format(images=images, generator="livecd", file=f"{name}.iso", options="{}")
    path.write_text(f"{text}boot: {{machines: [seabios], memory: 256M}}\n")
    return path


def nightly(
    cli: Cli, folder: Path, *words: str, names: tuple[str, ...] = ("db.yaml", "web.yaml", "wrong.yaml")
) -> tuple[Finished, list[dict[str, Any]]]:
    """A night, and its attempts: by profile and attempt, since cells boot side by side where there is room."""
    done = cli("nightly", *names, *words, "--json", cwd=folder)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    attempts = [event for event in events if event["event"] == "nightly"]
    return done, sorted(attempts, key=lambda each: (each["profile"], bool(each.get("confirms")), each["attempt"]))


def test_two_nights(cli: Cli, tmp_path: Path) -> None:
    for name in ("db", "web"):
        tiny_profile(tmp_path, name, GOOD)
    (tmp_path / "wrong.yaml").write_text("image: [debian:trixie]\n")

    first, entries = nightly(cli, tmp_path)
    assert first.status == 3
    assert [(item["profile"], item["machine"], item["status"]) for item in entries] == [
        ("db", "seabios", "PASS"),
        ("web", "seabios", "PASS"),
        ("wrong", "", "ERROR"),
    ]
    assert "did you mean `images`" in entries[2]["reason"]

    tiny_profile(tmp_path, "web", PANIC)
    second, again = nightly(cli, tmp_path, "--junitxml", "night.xml")
    assert second.status == 1
    assert [(item["profile"], item["status"], item["attempt"], item.get("reason", "")) for item in again[:3]] == [
        ("db", "PASS", 1, ""),
        ("web", "FAIL", 1, "the kernel panicked: no luck tonight"),
        ("web", "FAIL", 2, "the kernel panicked: no luck tonight"),  # once more, for diagnosis
    ]
    assert again[1]["signature"] == again[2]["signature"] == "kernel-panic: the kernel panicked: no luck tonight"
    assert again[1]["run_folder"] != again[2]["run_folder"]
    assert again[0]["sha256"] == entries[0]["sha256"]  # not built again, but booted again
    assert again[0]["run_folder"] != entries[0]["run_folder"]
    assert again[1]["sha256"] != entries[1]["sha256"]
    assert again[0]["stages"]["ready"] > 0
    assert again[0]["host"]["accelerator"] in ("kvm", "tcg")

    build = tmp_path / "build"
    history = [json.loads(line) for line in (build / "nightly" / "history.jsonl").read_text().splitlines()]
    assert sorted(item["profile"] for item in history) == ["db", "db", *4 * ["web"], "wrong", "wrong"]
    assert not (build / "nightly" / "night.json").exists()
    suite = ET.parse(tmp_path / "night.xml").find("testsuite[@name='nightly']")  # noqa: S314 - our own
    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["3", "1", "1"]
    facts = json.loads((build / "nightly" / "images" / f"{again[0]['sha256']}.json").read_text())
    assert facts["packages"]
    page = (build / "report.html").read_text()
    assert_stands_alone(page)
    assert "The kernel panicked: no luck tonight" in page
    assert f"image {entries[1]['sha256'][:12]} to {again[1]['sha256'][:12]}" in page
    folder = Path(again[1]["run_folder"])
    assert f'href="./{folder.relative_to("build")}/report.html"' in page

    (build / "report.html").unlink()
    shown = cli("report", cwd=tmp_path)
    assert (shown.status, shown.stdout.strip()) == (0, "build/report.html")
    assert (build / "report.html").read_text() == page


@pytest.mark.nightly  # two dozen boots, half of them of some seconds
def test_a_slower_image_is_booted_in_turn_with_the_one_before(cli: Cli, tmp_path: Path) -> None:
    def write(number: int, turns: int = 0) -> None:
        profile = tiny_profile(tmp_path, "db", GOOD, turns=turns)
        (tmp_path / "above.dockerfile").write_text(f"# Above it.\n{HEADER}RUN echo {number} >/etc/above\n")
        profile.write_text(profile.read_text().replace("db.dockerfile]", "db.dockerfile, above.dockerfile]"))

    write(1)
    _, [good] = nightly(cli, tmp_path, names=("db.yaml",))
    history = tmp_path / "build" / "nightly" / "history.jsonl"
    line = json.loads(history.read_text())
    nights = [{**line, "night": f"2026-01-0{day}T02:00:00+00:00", "run": f"made-up-{day}"} for day in range(1, 9)]
    history.write_text("".join(f"{json.dumps(each)}\n" for each in (*nights, line)))

    write(2, turns=1 << 31)
    done, [slow, *boots, line] = nightly(cli, tmp_path, names=("db.yaml",))
    assert done.status == 0
    assert slow["sha256"] != good["sha256"]
    images = {good["sha256"]: "A", slow["sha256"]: "B"}
    assert "".join(images.get(boot["sha256"], "C") for boot in boots) == "ABBABAABBA" + "ACCACAACCA"
    assert [boot.get("cut", 0) for boot in boots] == [0] * 10 + [1] * 10
    assert {boot["confirms"] for boot in boots} == {slow["run"]}
    assert len({boot["run_folder"] for boot in (good, slow, *boots)}) == 22

    told = cli("regressions", cwd=tmp_path).stdout
    assert told.startswith("WORSE  db on seabios: ")
    assert ": confirmed" in told
    assert line["layer"] == "layer db.dockerfile, which is another"
    assert "because   layer db.dockerfile, which is another (1 image between tells so); stage " in told
    assert ": confirmed" in (tmp_path / "build" / "report.html").read_text()
    kept = tmp_path / "build" / "nightly" / "kept"
    assert [path.name for path in kept.iterdir()] == [slow["sha256"]], "the one that is good from now on"
    assert json.loads((tmp_path / "build" / "db.iso.manifest.json").read_text())["sha256"] == slow["sha256"]


@pytest.mark.nightly  # seven boots; by day images that are made up
def test_the_layer_that_broke_it_is_found_among_those_that_changed(cli: Cli, tmp_path: Path) -> None:
    """Of four that are others in one night: two images between are made of what the engine has, and booted."""

    def write(number: int, says: str, **of_layer: str) -> None:
        tiny_profile(tmp_path, "web", says)
        for name in ("below", "above", "top"):
            text = of_layer.get(name, f"RUN echo {number} >/etc/{name}\n")
            (tmp_path / f"{name}.dockerfile").write_text(f"# Layer {name}.\n{HEADER}{text}")
        profile = tmp_path / "web.yaml"
        layers = "system.dockerfile, below.dockerfile, web.dockerfile, above.dockerfile, top.dockerfile"
        profile.write_text(profile.read_text().replace("system.dockerfile, web.dockerfile", layers))

    write(1, GOOD)
    first, [good] = nightly(cli, tmp_path, names=("web.yaml",))
    assert first.status == 0
    write(2, PANIC)
    second, [failed, again, *boots, line] = nightly(cli, tmp_path, names=("web.yaml",))
    assert second.status == 1
    assert [failed["status"], again["status"], line["status"]] == ["FAIL", "FAIL", "SKIP"]
    assert {each["confirms"] for each in (*boots, line)} == {failed["run"]}
    assert {each["cut"]: each["status"] for each in boots} == {1: "FAIL", 2: "PASS"}
    assert len({each["sha256"] for each in (good, failed, *boots)}) == 4, "each is an image of its own"
    assert line["layer"] == "layer web.dockerfile, which is another"
    assert "nightly: web on seabios got worse, and at fault is layer web.dockerfile, which is another" in second.stdout
    told = cli("regressions", cwd=tmp_path).stdout.splitlines()
    assert told[0].startswith("WORSE  web on seabios: it fails: the kernel panicked: no luck tonight")
    assert told[2].startswith("  because   layer web.dockerfile, which is another (2 images between tell so); stage ")
    pages = tmp_path / "build" / "nightly" / "pages"
    assert "layer web.dockerfile, which is another" in next(pages.glob("web-*.html")).read_text()
    assert not any(path.is_dir() for path in (tmp_path / "build" / "nightly" / "cuts").iterdir()), "and are gone"
    record = tmp_path / "build" / ".metallize" / "web.iso.kept" / "manifest.json"
    assert json.loads(record.read_text())["sha256"] == failed["sha256"], "what is kept aside is what was built"


@pytest.mark.nightly  # seven nights; each step by itself is held by boots that are made up
def test_a_failure_is_told_quarantined_mended_and_taken_off_the_list(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As somebody meets it: a message, an entry in known.yaml, quiet nights, a mend, a message, and the entry's end."""

    def night() -> tuple[int, list[str], str]:
        done, attempts = nightly(cli, tmp_path, names=("web.yaml",))
        heard = [each["message"] for each in hook.got]
        hook.got.clear()
        statuses = [each["status"] for each in attempts if not each.get("confirms")]
        return done.status, statuses, "\n".join([*heard, done.stderr])

    tiny_profile(tmp_path, "web", GOOD)
    with listening() as hook:
        monkeypatch.setenv("METALLIZE_NOTIFY", hook.address)
        assert night()[:2] == (0, ["PASS"])
        tiny_profile(tmp_path, "web", PANIC)
        status, statuses, told = night()
        assert (status, statuses) == (1, ["FAIL", "FAIL"])
        assert "WORSE  web on seabios" in told
        assert "no luck tonight" in told
        last = (datetime.now(UTC) + timedelta(days=9)).date()
        (tmp_path / "known.yaml").write_text(f"- match: no luck tonight\n  reference: own/web#12\n  until: {last}\n")
        status, statuses, told = night()
        assert (status, set(statuses)) == (0, {"FAIL"})
        assert "WORSE" not in told
        assert "own/web#12" in (tmp_path / "build" / "report.html").read_text()
        refused = cli("publish", "web.yaml", "--to", tmp_path / "to", "--channel", "stable", cwd=tmp_path)
        assert refused.status == 1, "that it is known lets nobody ship it"
        tiny_profile(tmp_path, "web", GOOD.replace("tiny login", "mended login"))
        status, statuses, told = night()
        assert (status, statuses) == (0, ["PASS"])
        assert "web on seabios" in told, "that it passes again"
        history = tmp_path / "build" / "nightly" / "history.jsonl"
        line = json.loads(history.read_text().splitlines()[-1])
        nights = [f"2026-{month:02}-{day:02}T02:00:00+00:00" for month in (1, 2) for day in range(1, 29)]
        clean = ({**line, "night": each, "run": f"clean-{each}"} for each in nights)
        history.write_text("".join(f"{json.dumps(each)}\n" for each in clean))
        _, _, told = night()
        assert "own/web#12" in told, "after so many clean nights the entry is asked to be removed"
        assert "remov" in told
        (tmp_path / "known.yaml").unlink()
        assert "own/web#12" not in night()[2]


@pytest.mark.nightly  # the same is held by boots that are made up
def test_a_night_that_is_killed_goes_on(cli: Cli, tmp_path: Path) -> None:
    """SIGKILL as soon as the first cell is written down: no guest is left, and that cell is not booted again."""
    for name in ("db", "web"):
        tiny_profile(tmp_path, name, GOOD)
    history = tmp_path / "build" / "nightly" / "history.jsonl"
    words = (sys.executable, "-m", "metallize", "nightly", "db.yaml", "web.yaml")
    with spawn(words, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "METALLIZE_GUESTS": "1"}) as night:
        deadline = time.monotonic() + 300
        while not history.exists() or not history.read_text():
            assert night.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        night.kill()
        night.wait()
    [before] = [json.loads(line) for line in history.read_text().splitlines()]
    done, attempts = nightly(cli, tmp_path, names=("db.yaml", "web.yaml"))
    assert done.status == 0
    assert len(attempts) == 1, "only the other one was booted"
    assert attempts[0]["profile"] != before["profile"]
    assert attempts[0]["night"] == before["night"]
    images = [tmp_path / "build" / f"{name}.iso" for name in ("db", "web")]
    assert all(image.is_file() for image in images), "both are verified, and in their places"
