"""What a guest listens on: the probe where it is run, here, and what its answers mean."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from metallize.model.kind import Observation
from metallize.verify.looks.ports import PROBE, read_ports

RANGE = "/proc/sys/net/ipv4/ip_local_port_range"


def answered(text: str, status: int = 0) -> tuple[str, ...] | None:
    return read_ports(Observation(status=status, stdout=text, stderr="", seconds=0.1))


def test_the_probe_sees_what_listens_here_and_no_more() -> None:
    with (
        socket.socket() as one,
        socket.socket() as loop,
        socket.socket(socket.AF_INET6) as six,
        socket.socket() as idle,
    ):
        one.bind(("0.0.0.0", 0))  # noqa: S104 - that is what is looked for
        loop.bind(("127.0.0.1", 0))
        six.bind(("::", 0))
        idle.bind(("0.0.0.0", 0))  # noqa: S104 - bound, and does not listen
        for each in (one, loop, six):
            each.listen()
        done = subprocess.run(["sh", "-c", PROBE], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-2].split()[1:] == Path(RANGE).read_text().split()
        found = answered(done.stdout)
        assert found is not None
        ports = {
            name: f"tcp:{each.getsockname()[1]}"
            for name, each in (("one", one), ("loop", loop), ("six", six), ("idle", idle))
        }
    assert {ports["one"], ports["six"]} <= set(found)
    assert not {ports["loop"], ports["idle"]} & set(found)


@pytest.mark.parametrize(
    ("lines", "ports"),
    [
        ("tcp 00000000:0016\ntcp6 00000000000000000000000000000000:0016", ("tcp:22",)),
        ("udp 00000000:0044\ntcp 00000000:01BB\ntcp 00000000:0050", ("tcp:80", "tcp:443", "udp:68")),
        ("tcp 0100007F:0016\ntcp6 00000000000000000000000001000000:0016", ()),
        ("tcp6 0000000000000000FFFF00000100007F:0016", ()),
        ("udp 00000000:8000\ntcp 00000000:8000", ("tcp:32768",)),
        ("udp 0F02000A:0044", ("udp:68",)),
        ("", ()),
    ],
)
def test_what_its_lines_mean(lines: str, ports: tuple[str, ...]) -> None:
    assert answered(f"{lines}\nrange 32768 60999\nend\n".lstrip()) == ports


def test_which_ports_are_given_to_whoever_asks() -> None:
    assert answered("udp 00000000:8000\nrange 40000\t50000\nend\n") == ("udp:32768",)
    assert answered("udp 00000000:8000\nrange none\nend\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "end\n",
        "range 1 2\n",
        "tcp 00000000:0016\n",
        "tcp 00000000:0016\nend\n",
        "range 1 2\nend\nmore\n",
        "tcp 0000000000000000:0016\nrange 1 2\nend\n",
        "tcp 00000000:0016\u2028range 1 2\nend",
        "tcp 00000000\nrange 1 2\nend\n",
        "range 1 2\nrange 1 2\nend\n",
        f"range {'9' * 5000} {'9' * 5000}\nend\n",
    ],
)
def test_half_an_answer_is_none(text: str) -> None:
    assert answered(text) is None
    assert answered("range 1 2\nend\n", status=1) is None
    assert read_ports(None) is None
