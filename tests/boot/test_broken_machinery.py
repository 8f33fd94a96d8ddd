"""A thread of ours that dies while a guest runs: the run ends as a bug in seconds, and says nothing of the image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NoReturn

import pytest

from metallize.console.rules import Scanner
from metallize.console.watch import BootWatch
from metallize.errors import BugError
from metallize.events import Silent
from metallize.machines import seabios
from metallize.model.boot import Boot
from metallize.model.profile import ImageFormat
from metallize.verify import VerifyRequest, verify_machine
from tests.boot.sector import tiny_image

pytestmark = pytest.mark.boot


def planted(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError("planted")


@pytest.mark.parametrize(
    ("owner", "name", "who"),
    [(Scanner, "scan", "the reader of the console"), (BootWatch, "event", "the listener to QEMU's events")],
)
def test_a_bug_while_the_guest_runs_is_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str, who: str
) -> None:
    image = tiny_image(tmp_path, "GRUB loading.\r\nwords that nothing follows\r\n")
    request = VerifyRequest(
        image=image,
        image_format=ImageFormat.RAW,
        boot=Boot(timeout=300, memory="64M"),
        assertions=(),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds={},
        runs_dir=tmp_path / "runs",
    )
    monkeypatch.setattr(owner, name, planted)
    begun = time.monotonic()
    with pytest.raises(BugError, match=f"{who}: ZeroDivisionError: planted"):
        verify_machine(request, Silent())
    assert time.monotonic() - begun < 60
    assert not list((tmp_path / "runs").rglob("report.json"))
