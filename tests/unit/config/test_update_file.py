"""`verify --update UPDATE.yaml`: what boot.update of a profile has, for an image that no profile tells of."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.config import load_update
from metallize.errors import ProfileError
from metallize.model.update import Engine

WHOLE = "from: old.img\nengine: rauc\nfiles: bundles\nkeep: [/etc/ssh]\n"


def written(folder: Path, text: str) -> Path:
    file = folder / "update.yaml"
    file.write_text(text)
    return file


def test_files_are_looked_for_beside_it(tmp_path: Path) -> None:
    update = load_update(written(tmp_path, WHOLE))
    assert update.engine is Engine.RAUC
    assert (update.before, update.files) == (str(tmp_path / "old.img"), str(tmp_path / "bundles"))
    assert update.keep == ("/etc/ssh",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- from: old.img\n", "what boot.update has is wanted here"),
        ("from: old.img\nengine: rauk\nfiles: x\n", "rauk"),
        ("from: old.img\nengin: rauc\n", "unknown key `engin`"),
        ("engine: sysupdate\n", "from"),
        ("from: old.img\nengine: rauc\n", "`files` is wanted"),
        ("from: .\nengine: sysupdate\n", "nobody knows which release came before"),
        ("from: https://example.com/os/stable\nengine: sysupdate\n", "nobody knows which release came before"),
        ("from: [\n", ":1:"),
        ("", ""),
    ],
)
def test_what_is_wrong_with_it_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(ProfileError) as raised:
        load_update(file)
    assert words in str(raised.value)
    assert str(file) in str(raised.value)
