"""Guests that attack: what they try to reach on the host stays out of reach, and what they bring stays contained."""

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.events import Silent
from metallize.image_format import format_of
from metallize.machines import seabios
from metallize.model.boot import Boot
from metallize.model.report import BootReport, Verdict
from metallize.verify import VerifyRequest, verify_machine
from tests.boot.test_network_boot import KERNEL, archive
from tests.servers import http_server

pytestmark = pytest.mark.boot


def run_script(folder: Path, tried: str, *, internet: bool) -> BootReport:
    """A guest that fetches from our own server, then tries what it is not to reach, and says how that went."""
    ours = "http://10.0.2.100/second.txt" if not internet else "second.txt"
    script = (
        f"#!ipxe\necho {KERNEL}\nimgfetch {ours} && echo ours: reached || echo ours: closed\n"
        f"imgfetch --timeout 4000 {tried} && echo theirs: reached || echo theirs: closed\n"
        "echo\necho -n tiny login: ${}\nsleep 600\n"
    )
    image = archive(folder, boot_ipxe=script.encode(), second_txt=b"found\n")
    request = VerifyRequest(
        image=image,
        image_format=format_of(image),
        boot=Boot(timeout=90, memory="256M", internet=internet),
        assertions=(),
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds={},
        runs_dir=folder / "runs",
    )
    return verify_machine(request, Silent())


@pytest.mark.parametrize("internet", [False, True])
def test_the_hosts_own_services_are_reached_only_where_a_profile_says_so(tmp_path: Path, *, internet: bool) -> None:
    with http_server() as url:
        tried = f"http://10.0.2.2:{url.rpartition(':')[2]}/ok"
        report = run_script(tmp_path, tried, internet=internet)
    assert report.verdict is Verdict.PASSED, report.failure
    shown = (report.run_folder / "console.txt").read_text()
    assert "ours: reached" in shown
    assert ("theirs: reached" in shown) is internet
    argv = (report.run_folder / "argv.txt").read_text()
    assert ("restrict=on" not in argv) is internet
    assert "-sandbox\non,obsolete=deny," in argv
    assert report.run_folder.stat().st_mode & 0o777 == 0o700
    assert not list(report.run_folder.glob(".*")), "what was served by TFTP is gone"
