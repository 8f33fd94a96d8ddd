"""`metallize flash`, in this process: an image that is another when it has been flashed."""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from metallize import flash as library
from metallize.commands import flashing
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
    real = library.flash

    def flash(*args: object, **options: object) -> object:
        done = real(*args, **options)  # type: ignore[arg-type]
        if change is not None:
            change(image)
        return done

    monkeypatch.setattr(library, "flash", flash)
    monkeypatch.setattr(flashing, "renderer_of", lambda _: JsonLines(io.StringIO()))
    options = argparse.Namespace(
        image=image, device=target, any_disk=False, yes=True, json=True, keyring=None, keys=[], require=(), max_age=None
    )
    if change is None:
        assert flashing.flash(options) == 0
        assert target.read_bytes() == image.read_bytes()
        return
    with pytest.raises(HostError, match=r"nobody knows what .*card.img holds"):
        flashing.flash(options)
