"""What `metallize flash` says could be written to, of disks that a server and a laptop have."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize import cli
from metallize import flash as flashing
from metallize.errors import ExitCode
from metallize.flash.devices import Disk, Use

ROOT = Use(device="sda1", text="is mounted on /", system=True)


def disk(name: str, *, removable: bool = False, read_only: bool = False, uses: tuple[Use, ...] = ()) -> Disk:
    return Disk(
        name=name, size_bytes=8 * 10**9, model="Acme", removable=removable, read_only=read_only, uses=uses
    )  # fmt: skip


class Say:
    """Runs `metallize flash` on a host with these disks; the status, and what it said on both streams."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, found: tuple[Disk, ...], *words: str) -> tuple[int, str, str]:
        self._monkeypatch.setattr(flashing, "disks", lambda: found)
        status = cli.main(["flash", *words])
        said = self._capsys.readouterr()
        return status, said.out, said.err


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    return Say(monkeypatch, capsys)


def test_removable_disks_that_nothing_uses(say: Say) -> None:
    host = (
        disk("sda", uses=(ROOT,)), disk("sdb", removable=True), disk("sdc", removable=True, read_only=True), disk("sdd")
    )  # fmt: skip
    status, out, err = say(host)
    assert (status, out) == (ExitCode.DONE, "/dev/sdb  8.0 GB  Acme\n")
    assert err == "1 that cannot be taken out: --any-disk lists and takes them too\n"


def test_any_disk_lists_those_that_cannot_be_taken_out(say: Say) -> None:
    status, out, err = say((disk("sda", uses=(ROOT,)), disk("sdb", removable=True), disk("sdd")), "--any-disk")
    assert (status, out, err) == (ExitCode.DONE, "/dev/sdb  8.0 GB  Acme\n/dev/sdd  8.0 GB  Acme\n", "")


@pytest.mark.parametrize(
    ("words", "kind"), [((), "removable disk"), (("--any-disk",), "disk")]
)  # fmt: skip
def test_a_host_with_nothing_to_write_to(say: Say, words: tuple[str, ...], kind: str) -> None:
    assert say((disk("sda", uses=(ROOT,)),), *words) == (ExitCode.DONE, "", f"no {kind} that is not in use\n")


def test_an_image_without_a_device_says_which_there_are(say: Say, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.touch()
    status, out, err = say((disk("sdb", removable=True),), str(image))
    assert (status, out) == (ExitCode.BAD_INPUT, "/dev/sdb  8.0 GB  Acme\n")
    assert f"where to write {image}?" in err
    assert f"metallize flash {image} DEVICE: one of those above, or a file" in err
    assert "DEVICE (a disk or a file)" in say((), str(image))[2]
