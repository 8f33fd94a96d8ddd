"""The release before as what a machine is updated from: which one of a channel, and that it is what was released."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metallize.config import load_profile
from metallize.errors import HostError, MetallizeError, UsageError
from metallize.events import Silent
from metallize.model.loaded import Profile
from metallize.release.fetching import with_release_before
from metallize.release.fetching.before import PLACE
from tests.release.clients.serving import served
from tests.unit.proof.proofs import CATALOG
from tests.unit.release.wares import CONTENT, released, ware

PROFILE = """\
images: [debian:trixie]
output: {{generator: ext4, file: web.raw, version: "{version}"}}
boot:
  machines: [seabios]
  login: {{user: admin, password: admin}}
  update: {{from: {place}, install: [a], version: b}}
"""


def profile(folder: Path, place: object, version: str = "3") -> Profile:
    path = folder / "web.yaml"
    path.write_text(PROFILE.format(version=version, place=place))
    return load_profile(path, vocabulary=CATALOG.vocabulary())


def before(folder: Path, place: object, version: str = "3") -> Path:
    """The image that the machine is updated from."""
    found = with_release_before(profile(folder, place, version), folder / "build", Silent())
    assert found.boot is not None
    assert found.boot.update is not None
    return Path(found.boot.update.before)


def channel(folder: Path, *versions: str, channel: str = "stable", **more: Any) -> Path:
    """A destination with these releases, each with bytes of its own."""
    for version in versions:
        content = CONTENT + version.encode()
        released(folder / "releases", ware(folder / f"b{version}", content, version=version, **more), channel=channel)
    return folder / "releases"


def test_the_newest_release_with_a_lower_version_is_what_is_updated(tmp_path: Path) -> None:
    place = channel(tmp_path, "1", "2", "4")
    image = before(tmp_path, place)
    assert image.read_bytes() == CONTENT + b"2"
    assert image.parent == tmp_path / "build" / PLACE
    assert before(tmp_path, place / "stable", "20").read_bytes() == CONTENT + b"4", "the channel's own folder"
    assert sorted(path.suffix for path in image.parent.iterdir()) == [".json", ".raw"], "no other is kept"


def test_a_channel_may_be_at_an_address(tmp_path: Path) -> None:
    place = channel(tmp_path, "1", "3")
    with served(place) as address:
        assert before(tmp_path, f"{address}/stable").read_bytes() == CONTENT + b"1"
        with pytest.raises(UsageError, match="before 1"):
            before(tmp_path, f"{address}/stable", "1")


def test_what_is_there_already_is_not_fetched_again(tmp_path: Path) -> None:
    place = channel(tmp_path, "1")
    image = before(tmp_path, place)
    state = image.stat()
    assert before(tmp_path, place).stat() == state
    for other in (b"cut", CONTENT + b"2"):
        image.write_bytes(other)
        assert before(tmp_path, place).read_bytes() == CONTENT + b"1"
    image.touch()
    state = image.stat()
    assert before(tmp_path, place).stat() == state, "its bytes are what counts"


def test_a_file_stays_the_image_that_it_is(tmp_path: Path) -> None:
    (tmp_path / "old.img").write_bytes(b"")
    assert before(tmp_path, "old.img") == tmp_path / "old.img"
    nothing = profile(tmp_path, "old.img")
    assert nothing.boot is not None
    without = replace(nothing, boot=nothing.boot.model_copy(update={"update": None}))
    assert with_release_before(without, tmp_path, Silent()) is without


@pytest.mark.parametrize(
    ("versions", "words"),
    [((), "holds no releases"), (("3", "4"), "has no release of web for x86-64 before 3, but web_4, web_3")],
)
def test_where_there_is_none_yet_that_is_said_with_the_next_step(
    tmp_path: Path, versions: tuple[str, ...], words: str
) -> None:
    (tmp_path / "releases").mkdir()
    place = channel(tmp_path, *versions)
    with pytest.raises(UsageError, match=words) as caught:
        before(tmp_path, place)
    assert "from a profile without boot.update" in str(caught.value.hint)


def test_a_release_of_another_name_is_none(tmp_path: Path) -> None:
    place = channel(tmp_path, "1", name="shop")
    with pytest.raises(UsageError, match="has no release of web"):
        before(tmp_path, place)


def test_which_channel_is_meant_must_be_clear(tmp_path: Path) -> None:
    channel(tmp_path, "1")
    place = channel(tmp_path, "2", channel="beta")
    with pytest.raises(UsageError, match="has the channels beta, stable"):
        before(tmp_path, place)
    assert before(tmp_path, place / "beta").read_bytes() == CONTENT + b"2"


def test_what_is_not_the_file_that_was_released_is_not_updated_from(tmp_path: Path) -> None:
    place = channel(tmp_path, "1")
    [packed] = (place / "stable").glob("*.raw.xz")
    content = bytearray(packed.read_bytes())
    content[len(content) // 2] ^= 1
    packed.unlink()
    packed.write_bytes(content)
    with pytest.raises(MetallizeError, match=r"damaged|is not the file that was released"):
        before(tmp_path, place)
    assert list((tmp_path / "build" / PLACE).iterdir()) == []


def test_lists_that_do_not_agree_are_not_believed(tmp_path: Path) -> None:
    place = channel(tmp_path, "1")
    sums = place / "stable" / "SHA256SUMS"
    changed = "".join(
        f"{'0' * 64}  {line.split()[1]}\n" if line.endswith(".raw.xz") else f"{line}\n"
        for line in sums.read_text().splitlines()
    )
    sums.unlink()
    sums.write_text(changed)
    with pytest.raises(HostError, match=re.escape("tell otherwise of web_1_x86-64.raw.xz")):
        before(tmp_path, place)
