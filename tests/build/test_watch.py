"""`metallize watch` with real builds: each edit becomes an image."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from metallize.build.generator import sha256_of

from .conftest import HEADER, Site, Start

pytestmark = [pytest.mark.docker, pytest.mark.nightly]


def waits(words: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event["event"] == "note" and event["text"].startswith(f"{words}; waiting for a change")


def test_an_edit_is_built(start: Start, site: Site) -> None:
    layer = site.layer("motd.dockerfile", f"{HEADER}RUN echo one >/etc/motd\n")
    profile = site.profile("web.iso", "system.dockerfile", layer)
    good = profile.read_text()
    running = start("watch", profile, "--no-verify", cwd=site.folder)
    running.until(waits("done"))
    first = sha256_of(site.build / "web.iso")
    site.layer("motd.dockerfile", f"{HEADER}RUN echo two >/etc/motd\n")
    running.until(waits("done"))
    second = sha256_of(site.build / "web.iso")
    assert first != second
    profile.write_text(good.replace("livecd", "livedc"))
    running.until(waits("the profile cannot be built as it is"))
    assert sha256_of(site.build / "web.iso") == second
    profile.write_text(good)
    running.until(waits("done"))
    assert sha256_of(site.build / "web.iso") == second
    running.send(signal.SIGINT)
    status, err = running.end()
    assert status == 0, err
