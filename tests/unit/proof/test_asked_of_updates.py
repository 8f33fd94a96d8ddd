"""An update is asked with the bytes that it is made of: the image before, and the files that it is updated by."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metallize import asked
from metallize.asked import asked_of
from metallize.build.store import stamp_of
from metallize.catalog import Catalog
from metallize.model.boot import Boot
from tests.unit.proof.digests import request

CATALOG = Catalog()


def id_of(image: Path | None, files: Path | None = None) -> str:
    update = {"install": ["a"], "version": "b", **({} if files is None else {"files": str(files)})}
    boot = {} if image is None else {"update": {"from": str(image), **update}}
    return asked_of(request(CATALOG, boot=Boot.model_validate(boot))).id


def image(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_it_is_of_the_image_befores_very_bytes_wherever_they_are(tmp_path: Path) -> None:
    one = id_of(image(tmp_path / "one.img", b"1"))
    assert id_of(image(tmp_path / "same.img", b"1")) == one
    assert id_of(image(tmp_path / "other.img", b"2")) != one
    assert id_of(None) != one


def test_of_an_image_that_is_not_there_its_name_counts_and_not_its_folder(tmp_path: Path) -> None:
    assert id_of(tmp_path / "one" / "a.img") == id_of(tmp_path / "other" / "a.img")
    assert id_of(tmp_path / "a.img") != id_of(tmp_path / "b.img")


OTHER = "ab" * 32


@pytest.mark.parametrize(
    ("told", "believed"),
    [
        ({"sha256": OTHER, "file": {}}, True),
        ({"sha256": OTHER, "file": {"mtime_ns": 1}}, False),
        ({"sha256": OTHER, "file": {"ctime_ns": 1}}, False),
        ({"sha256": OTHER, "file": {"size": 2}}, False),
        ({"sha256": OTHER, "size": 1}, False),
        ({"file": {}}, False),
        ([], False),
    ],
)
def test_a_manifest_is_believed_where_it_tells_of_this_very_file(tmp_path: Path, told: Any, believed: bool) -> None:
    plain, path = id_of(image(tmp_path / "plain.img", b"1")), image(tmp_path / "told.img", b"1")
    if "file" in told:
        told["file"] = {**stamp_of(path.stat()), **told["file"]}
    path.with_name("told.img.manifest.json").write_text(json.dumps(told))
    assert (id_of(path) != plain) is believed


def test_what_changes_in_its_place_is_another(tmp_path: Path) -> None:
    """By its size, by when it was written, and by which file it is."""
    path = image(tmp_path / "a.img", b"1")
    os.utime(path, ns=(1, 1))
    ids = [id_of(path)]
    path.write_bytes(b"2")
    os.utime(path, ns=(2, 2))
    ids.append(id_of(path))
    path.write_bytes(b"22")
    os.utime(path, ns=(2, 2))
    ids.append(id_of(path))
    image(tmp_path / "b.img", b"33").replace(path)
    os.utime(path, ns=(2, 2))
    ids.append(id_of(path))
    assert len(set(ids)) == len(ids)


def folder(path: Path) -> Path:
    (path / "more").mkdir(parents=True)
    (path / "more" / "web.raucb").write_bytes(b"1")
    (path / "a").write_bytes(b"1")
    return path


def test_the_files_count_wherever_their_folder_is(tmp_path: Path) -> None:
    old = image(tmp_path / "old.img", b"1")
    first = id_of(old, folder(tmp_path / "files"))
    assert first == id_of(old, folder(tmp_path / "elsewhere"))
    assert len({first, id_of(old, tmp_path / "nowhere"), id_of(old)}) == 3


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda it: (it / "more" / "web.raucb").write_bytes(b"22"), True),
        (lambda it: (it / "more" / "web.raucb").rename(it / "web.raucb"), True),
        (lambda it: (it / "a").rename(it / "b"), True),
        (lambda it: (it / "a").unlink(), True),
        (lambda it: (it / "z").write_bytes(b""), True),
        (lambda it: (it / "link").symlink_to("a"), True),
        (lambda it: (it / "gone").symlink_to("nowhere"), False),
        (lambda it: (it / "empty").mkdir(), False),
        (lambda it: os.mkfifo(it / "pipe"), False),
    ],
)
def test_what_a_guest_could_fetch_of_them_counts(tmp_path: Path, change: Callable[[Path], None], counts: bool) -> None:
    old, files = image(tmp_path / "old.img", b"1"), folder(tmp_path / "files")
    before = id_of(old, files)
    change(files)
    assert (id_of(old, files) != before) is counts


def test_a_link_to_nothing_hides_nothing_behind_it(tmp_path: Path) -> None:
    old, files = image(tmp_path / "old.img", b"1"), folder(tmp_path / "files")
    (files / "a-gone").symlink_to("a-gone")
    before = id_of(old, files)
    (files / "more" / "web.raucb").write_bytes(b"22")
    assert id_of(old, files) != before


def test_a_file_that_is_gone_while_they_are_read_hides_nothing_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, files = image(tmp_path / "old.img", b"1"), folder(tmp_path / "files")
    read = asked._content

    def content(path: Path) -> str:
        if path.name == "a":
            raise FileNotFoundError(path)
        return read(path)

    monkeypatch.setattr(asked, "_content", content)
    before = id_of(old, files)
    (files / "more" / "web.raucb").write_bytes(b"22")
    assert id_of(old, files) != before
