"""Promoting and retracting: a channel whose clients verify a signature keeps one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from metallize.errors import UsageError
from metallize.events import Silent
from metallize.release import curating
from metallize.release.destinations import destination_at
from metallize.release.pointers import SIGNATURE
from tests.unit.release.wares import NOW, released, tree, ware

UNSIGNED = curating.Terms(now=NOW)


def signature(listed: bytes) -> Mapping[str, bytes]:
    return {SIGNATURE: b"signed: " + listed}


SIGNED = curating.Terms(now=NOW, sign=signature)


@pytest.mark.slow
def test_a_new_channel_is_signed_as_the_one_before_it(tmp_path: Path) -> None:
    destination = destination_at(str(tmp_path / "to"))
    released(tmp_path / "to", ware(tmp_path / "one"), channel="beta", sign=signature)
    with pytest.raises(UsageError, match="beta is signed, and stable would not be") as caught:
        curating.promote(destination, "20261130.1", Silent(), UNSIGNED, channel="stable")
    assert caught.value.hint == "add --gpg-key KEY"
    assert destination.channels() == ("beta",)
    curating.promote(destination, "20261130.1", Silent(), SIGNED, channel="stable")
    assert destination.pointer("stable", SIGNATURE) is not None


@pytest.mark.slow
def test_a_channel_that_was_never_signed_stays_so(tmp_path: Path) -> None:
    destination = destination_at(str(tmp_path / "to"))
    released(tmp_path / "to", ware(tmp_path / "one"), channel="beta", sign=signature)
    released(tmp_path / "to", ware(tmp_path / "two", b"other", name="other"), channel="stable")
    curating.promote(destination, "web_20261130.1", Silent(), UNSIGNED, channel="stable")
    assert destination.pointer("stable", SIGNATURE) is None


@pytest.mark.slow
def test_nothing_is_retracted_where_one_of_the_channels_wants_a_signature(tmp_path: Path) -> None:
    destination = destination_at(str(tmp_path / "to"))
    for channel, sign in (("alpha", None), ("beta", signature)):
        released(tmp_path / "to", ware(tmp_path / "build" / channel), channel=channel, sign=sign)
    before = tree(tmp_path / "to" / "alpha")
    with pytest.raises(UsageError, match=r"SHA256SUMS\.gpg of the channel beta"):
        curating.retract(destination, "20261130.1", Silent(), UNSIGNED, why="too warm")
    assert tree(tmp_path / "to" / "alpha") == before
    assert curating.retract(destination, "20261130.1", Silent(), SIGNED, why="too warm") == ("alpha", "beta")


@pytest.mark.slow
def test_a_version_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    destination = destination_at(str(tmp_path / "to"))
    for channel in ("alpha", "beta"):
        released(tmp_path / "to", ware(tmp_path / "build" / channel), channel=channel)
    with pytest.raises(UsageError, match="there is no release 9 in ") as caught:
        curating.retract(destination, "9", Silent(), UNSIGNED, why="too warm")
    assert caught.value.hint == "there are web_20261130.1"
