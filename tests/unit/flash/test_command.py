"""`metallize flash`, in this process: an image that is another when it has been flashed."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metallize import flash as flashing
from metallize.commands import flashing as command
from metallize.errors import HostError
from metallize.render import JsonLines


def written_to(image: Path) -> None:
    before = image.stat()
    image.write_bytes(b"e" * before.st_size)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced(image: Path) -> None:
    other = image.with_name("other")
    other.write_bytes(image.read_bytes())
    other.replace(image)


@pytest.mark.parametrize("change", [written_to, replaced, Path.unlink, None])
def test_an_image_that_changes_while_it_is_flashed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], None] | None
) -> None:
    image, target = tmp_path / "web.img", tmp_path / "card.img"
    image.write_bytes(b"\x01" * 65536)
    real = flashing.flash

    def flash(*args: Any, **options: Any) -> object:
        done = real(*args, **options)
        if change is not None:
            change(image)
        return done

    monkeypatch.setattr(flashing, "flash", flash)
    monkeypatch.setattr(command, "renderer_of", lambda _: JsonLines(io.StringIO()))
    of_a_server: dict[str, Any] = {"keyring": None, "keys": [], "require": (), "max_age": None}
    options = argparse.Namespace(image=image, device=target, any_disk=False, yes=True, json=True, **of_a_server)
    if change is None:
        assert command.flash(options) == 0
        assert target.read_bytes() == image.read_bytes()
        return
    with pytest.raises(HostError, match=r"nobody knows what .*card.img holds"):
        command.flash(options)
