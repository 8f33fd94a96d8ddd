"""A guest that answers nothing on its network, behind a forwarder of QEMU's that accepts every connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.model.boot import Reach
from tests.boot.sector import tiny_image
from tests.boot.test_boot_flow import KERNEL, verify

pytestmark = pytest.mark.boot


def test_a_port_that_the_guest_never_answers_is_not_reached(tmp_path: Path) -> None:
    reach = {"tcp:9090": Reach(timeout="2s"), "http://:8080/": Reach(status=200, timeout="2s")}
    report = verify(tiny_image(tmp_path, f"{KERNEL}tiny login: "), reach=reach)
    assert not report.passed
    found = {result.title: result.claims[0].actual for result in report.results if result.kind == "reach"}
    assert not any(result.holds for result in report.results if result.kind == "reach")
    assert "the guest never answered the connection" in found["reach tcp:9090"]
    assert found["reach http://:8080/"]
