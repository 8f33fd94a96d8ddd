"""`metallize boot -p HOST:GUEST`: what is a pair of ports."""

from __future__ import annotations

import pytest

from metallize.commands.line import parse
from metallize.errors import ExitCode, UsageError
from metallize.qemu.network import Forward

from .conftest import Call


def test_several_ports_lead_in() -> None:
    options = parse(["boot", "x.img", "-p", "8080:80", "--port", "0:443", "-p65535:1"])
    assert options.ports == [
        Forward(host=8080, guest=80), Forward(host=0, guest=443), Forward(host=65535, guest=1)
    ]  # fmt: skip
    assert parse(["boot", "x.img"]).ports == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "80",
        ":",
        "8080:",
        ":80",
        "80:0",
        "65536:80",
        "80:65536",
        "a:80",
        "80:b",
        "-1:80",
        "1:2:3",
        "٨:80",
        "1" * 5000,
    ],
)
def test_anything_else_is_bad_input(call: Call, text: str) -> None:
    with pytest.raises(UsageError):
        parse(["boot", "x.img", f"--port={text}"])
    assert call("boot", "x.img", f"--port={text}").status == ExitCode.BAD_INPUT
