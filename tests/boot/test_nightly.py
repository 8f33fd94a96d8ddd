"""A nightly of images that are made and booted in seconds: good ones, one that breaks overnight, one that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metallize.command import Finished
from tests.boot.kernel import tiny_kernel
from tests.build.conftest import HEADER, PROFILE, SYSTEM
from tests.conftest import Cli
from tests.unit.report.test_page import assert_stands_alone

pytestmark = [pytest.mark.docker, pytest.mark.boot]
BANNER = "[    0.000000] Linux version 6.12 (tiny)\r\n"
GOOD = f"{BANNER}\r\ntiny login: "
PANIC = f"{BANNER}[    1.000000] Kernel panic - not syncing: no luck tonight\r\n"


def tiny_profile(folder: Path, name: str, says: str) -> Path:
    """A profile, with a layer of its own that holds its kernel."""
    (folder / "system.dockerfile").write_text(SYSTEM)
    (folder / f"{name}-kernel").write_bytes(tiny_kernel(says))
    (folder / f"{name}.dockerfile").write_text(
        f"# The kernel of {name}.\n{HEADER}COPY {name}-kernel /boot/vmlinuz-1.0\n"
    )
    path = folder / f"{name}.yaml"
    images = f"debian:trixie, system.dockerfile, {name}.dockerfile"
    text = PROFILE.format(images=images, generator="livecd", file=f"{name}.iso", options="{}")
    path.write_text(f"{text}boot: {{machines: [seabios], memory: 256M}}\n")
    return path


def nightly(cli: Cli, folder: Path) -> tuple[Finished, list[dict[str, Any]]]:
    names = ("db.yaml", "web.yaml", "wrong.yaml")
    done = cli("nightly", *names, "--json", cwd=folder)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return done, [event for event in events if event["event"] == "nightly"]


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
    second, again = nightly(cli, tmp_path)
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
    assert [item["profile"] for item in history] == ["db", "web", "wrong", "db", "web", "web", "wrong"]
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
