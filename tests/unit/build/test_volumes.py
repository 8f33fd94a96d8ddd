"""A VOLUME on a file is told in our words, with its place, whatever engine says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.build.dockerfile import parse
from metallize.build.plan import LayerBuild
from metallize.build.volumes import refusal

ID = "0123456789abcdef" * 4
SAYS = "docker: Error response from daemon: cannot mount volume over existing file, file exists "
TEXT = 'FROM a\nENV X=/x\nVOLUME ["/srv/my data/", "/srv"]\nVOLUME $X\nVOLUME ["\nVOLUME /var//lib/../cache relative\n'


def layer(text: str) -> LayerBuild:
    return LayerBuild(
        name="web.dockerfile",
        summary="",
        dockerfile=Path("/p/web.dockerfile"),
        context=Path("/p"),
        build_args={},
        repository="metallize/web",
        key="",
        runtime_only=parse(text).runtime_only,
    )


@pytest.mark.parametrize(
    ("said", "place", "path"),
    [
        (f"/var/lib/docker/overlay2/{ID}/merged/srv/my data.", "/p/web.dockerfile:3", "/srv/my data"),
        (f"/var/lib/docker/overlay2/{ID}/merged/srv/my data", "/p/web.dockerfile:3", "/srv/my data"),
        (f"/var/lib/docker/rootfs/overlayfs/{ID}/srv", "/p/web.dockerfile:3", "/srv"),
        (f"/var/lib/docker/vfs/dir/{ID}/var/cache", "/p/web.dockerfile:6", "/var/cache"),
        (f"/home/x/.local/share/docker/fuse-overlayfs/{ID}/merged/relative", "/p/web.dockerfile:6", "/relative"),
    ],
)
def test_it_has_the_place_of_its_volume(said: str, place: str, path: str) -> None:
    error = refusal(["", SAYS + said, "See 'docker run --help'."], [layer(TEXT)])
    assert error is not None
    assert error.message.startswith(f"{place}: VOLUME is on {path}, which is a file")
    assert (error.hint or "").startswith("take it out of VOLUME")


def test_behind_a_variable_or_a_link_every_volume_is_named() -> None:
    error = refusal([f"{SAYS}/d/{ID}/merged/x"], [layer("FROM a\nVOLUME /a\nVOLUME $X\n")])
    assert error is not None
    assert error.message.startswith("/p/web.dockerfile:2, /p/web.dockerfile:3: VOLUME is on /x,")


def test_that_of_a_base_image_is_said_to_be_one() -> None:
    error = refusal([f"{SAYS}/d/{ID}/merged/x"], [layer("FROM a\n")])
    assert error is not None
    assert error.message.startswith("VOLUME is on /x,")
    assert "base image" in (error.hint or "")


def test_an_unknown_place_of_the_engine_is_kept() -> None:
    error = refusal([f"{SAYS}C:\\engine\\x"], [layer("FROM a\n")])
    assert error is not None
    assert "VOLUME is on C:\\engine\\x," in error.message


def test_other_failures_are_not_it() -> None:
    assert refusal(["exec: /bin/sh: no such file"], [layer(TEXT)]) is None
