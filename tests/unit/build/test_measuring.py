"""What a TPM will hold of a kernel image: by the rules of systemd-stub, over files whose sections are known."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from metallize_os import measuring, uki
from metallize_os.convert import Conversion

from tests.unit.build.test_two_systems import pe

PARTS = {".osrel": b"ID=debian\n", ".cmdline": b"root=x ro", ".linux": b"k" * 700, ".pcrsig": b"{}", ".text": b"code"}
LIBRARIES = [f"usr/lib/x86_64-linux-gnu/libtss2-{name}.so.0" for name in ("esys", "mu", "rc", "tcti-device")]
UNITS = [f"usr/lib/systemd/system/sysinit.target.wants/systemd-pcrphase{end}.service" for end in ("", "-sysinit")]


def by_hand(*contents: bytes) -> str:
    register = bytes(32)
    for content in contents:
        register = hashlib.sha256(register + hashlib.sha256(content).digest()).digest()
    return register.hex()


def test_the_stubs_order_counts_and_not_the_files() -> None:
    linux, released, line = PARTS[".linux"], PARTS[".osrel"], PARTS[".cmdline"]
    words = (b".linux\0", linux, b".osrel\0", released, b".cmdline\0", line)
    assert measuring.predicted(pe(PARTS), ["sysinit", "ready"]) == {
        "bank": "sha256",
        "values": [
            {"phases": [], "value": by_hand(*words)},
            {"phases": ["sysinit"], "value": by_hand(*words, b"sysinit")},
            {"phases": ["sysinit", "ready"], "value": by_hand(*words, b"sysinit", b"ready")},
        ],
    }
    turned = dict(reversed(PARTS.items()))
    assert measuring.after_stub(pe(turned)) == measuring.after_stub(pe(PARTS))


@pytest.mark.parametrize("name", [".osrel", ".cmdline", ".linux"])
def test_every_byte_of_what_is_measured_counts_and_no_other(name: str) -> None:
    other = {**PARTS, name: PARTS[name][:-1] + b"!"}
    assert measuring.after_stub(pe(other)) != measuring.after_stub(pe(PARTS))
    for unmeasured in (".pcrsig", ".text"):
        assert measuring.after_stub(pe({**PARTS, unmeasured: b"!"})) == measuring.after_stub(pe(PARTS))


def test_what_memory_has_more_than_the_file_is_zeros() -> None:
    section = replace(uki.sections(pe(PARTS))[".osrel"], memory=16)
    assert section.loaded(pe(PARTS)) == PARTS[".osrel"].ljust(16, b"\0")


def test_phases_are_measured_where_systemd_can_talk_to_a_tpm() -> None:
    def phases(*names: str) -> tuple[str, ...]:
        conversion = Conversion(epoch=1, hostname="")
        conversion.paths.update(names)
        return tuple(measuring.phases_of(conversion))

    assert phases(*LIBRARIES, *UNITS) == ("sysinit", "ready")
    for missing in (*LIBRARIES, *UNITS):
        assert phases(*({*LIBRARIES, *UNITS} - {missing})) == ()
