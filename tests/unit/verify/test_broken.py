"""Releases made of an image's parts that cannot come up: what is changed in them, and that nothing else is."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import struct
import subprocess
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from metallize.errors import HostError, UsageError
from metallize.files import uki
from metallize.files.openpgp import Signer
from metallize.machines import ovmf_secureboot
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.update import Broken
from metallize.release.naming import compare
from metallize.verify import broken, updating
from metallize.verify.request import VerifyRequest
from tests.unit.build.test_two_systems import pe
from tests.unit.verify.healthy import request

INITRD = b"070701" + b"i" * 5000
RELEASED = b'ID=debian\nIMAGE_ID="web"\nIMAGE_VERSION="2"\n'
LINE = b"roothash=abc root=/dev/mapper/root panic=10"


def kernel() -> bytes:
    """A unified kernel image as ukify(1) makes it: each section has a page of memory of its own."""
    parts = {".osrel": RELEASED, ".cmdline": LINE, ".linux": b"k" * 9000, ".initrd": INITRD}
    image = bytearray(pe(parts))
    memory = 0x1000
    for number, content in enumerate(parts.values()):
        at = 0x40 + 24 + 240 + 40 * number
        struct.pack_into("<I", image, at + 12, memory)
        memory += -(-len(content) // 0x1000) * 0x1000
    return bytes(image)


ROOT = b"hsqs" + b"r" * 8188
GRUB = b"linux (uki)4+18 roothash=abc panic=10\ninitrd (uki)22+10\n"


def image_in(folder: Path) -> tuple[Path, dict[str, Any]]:
    """An image of four parts, and its manifest."""
    image, parts, at = folder / "web.img", [], 4096
    with image.open("wb") as file:
        for suffix, content in (
            ("_1.root", ROOT),
            ("_2.verity", b"v" * 4096),
            (".grub", GRUB),
            (".efi", kernel()),
        ):
            file.seek(at)
            file.write(content)
            digest = hashlib.sha256(content).hexdigest()
            parts.append({"suffix": suffix, "offset": at, "size": len(content), "sha256": digest})
            at += -(-len(content) // 4096) * 4096
    manifest = {"platform": "linux/amd64", "release": {"name": "web", "version": "2"}, "parts": parts}
    return image, manifest


def asked(folder: Path, **changes: object) -> VerifyRequest:
    image, manifest = image_in(folder)
    update = {
        "from": "old.img",
        "engine": "sysupdate",
        "broken": ["kernel", "init", "service", "root"],
        "tamper": ["downgrade"],
    }
    boot = Boot.model_validate({"update": {**update, **changes}})
    return replace(request(with_assertions=False), boot=boot, image=image, manifest=manifest)


def offered(wanted: VerifyRequest, folder: Path, signer: Signer | None = None) -> dict[str, bytes]:
    """All that the guest can ask for."""
    with ExitStack() as stack:
        assert wanted.boot.update is not None
        files, _ = updating._files(stack, wanted, wanted.boot.update, folder, "1", signer)
        assert files is not None
        found = {}
        for name in files.names:
            with files.content(name, "http://x") as content:
                assert content is not None
                found[name] = content.read(0, content.size_bytes)
    assert list(folder.glob(".offered*")) == []
    return found


def section(content: bytes, name: str, folder: Path) -> bytes:
    path = folder / "looked-at.efi"
    path.write_bytes(content)
    number = os.open(path, os.O_RDONLY)
    try:
        return uki.content_of(number, name)
    finally:
        os.close(number)


def test_what_is_offered_is_whole_by_its_own_list(tmp_path: Path) -> None:
    found = offered(asked(tmp_path), tmp_path)
    broken_ones = {"kernel/": "1-a1.kernel", "init/": "1-a2.init", "service/": "1-a3.service", "root/": "1-a4.root"}
    places = {"": "2", **broken_ones, "downgrade/": "1-a0"}
    for place, version in places.items():
        sums = dict(line.split("  ")[::-1] for line in found[f"{place}SHA256SUMS"].decode().splitlines())
        assert set(sums) == {f"web_{version}_x86-64{end}" for end in ("_1.root", "_2.verity", ".grub", ".efi")}
        for name, digest in sums.items():
            assert hashlib.sha256(found[place + name]).hexdigest() == digest
    assert len(found) == 6 * 5


def test_an_index_that_was_tampered_with_is_wrong_in_one_way_alone(tmp_path: Path) -> None:
    signer = Signer.make("x")
    found = offered(asked(tmp_path, broken=[], tamper=["index"]), tmp_path, signer)
    whole, changed, mixed = (
        {name.rpartition("/")[2]: content for name, content in found.items() if name.startswith(f"index/{place}/")}
        for place in ("whole", "changed", "mixed")
    )
    assert {name for name in whole if "SUMS" not in name} == {
        f"web_1-a0.index_x86-64{end}" for end in ("_1.root", "_2.verity", ".grub", ".efi")
    }
    assert whole["SHA256SUMS.gpg"] == signer.signature(whole["SHA256SUMS"])
    assert changed["SHA256SUMS.gpg"] == signer.signature(found["SHA256SUMS"]), "of the release's own"
    assert {name for name in whole if whole[name] != changed[name]} == {"SHA256SUMS.gpg"}
    assert {name for name in whole if whole[name] != mixed.get(name)} == {"SHA256SUMS", "SHA256SUMS.gpg"}
    lines = [each["SHA256SUMS"].decode().splitlines() for each in (whole, mixed)]
    wrong = [other for one, other in zip(*lines, strict=True) if one != other]
    [(digest, name)] = [line.split("  ") for line in wrong]
    assert name.endswith(".efi")
    assert digest[1:] == hashlib.sha256(whole[name]).hexdigest()[1:]
    assert compare("1", "1-a0.index") < 0


def test_each_broken_release_is_newer_than_the_one_before_and_older_than_the_update(tmp_path: Path) -> None:
    wanted = asked(tmp_path)
    assert wanted.boot.update is not None
    offers = updating.offers_of(wanted, wanted.boot.update, "http://x", "1")
    versions = ["1", "1-a0", *(each.version for each in offers.broken), "2"]
    assert all(compare(one, other) < 0 for one, other in pairwise(versions))
    assert [each.url for each in offers.broken] == [
        f"http://x/{name}" for name in ("kernel", "init", "service", "root")
    ]
    assert (offers.url, offers.older) == ("http://x", "http://x/downgrade")


def test_only_the_kernels_files_are_changed(tmp_path: Path) -> None:
    found = offered(asked(tmp_path), tmp_path)
    for kind, version in (("kernel", "1-a1.kernel"), ("init", "1-a2.init"), ("service", "1-a3.service")):
        assert found[f"{kind}/web_{version}_x86-64_1.root"] == found["web_2_x86-64_1.root"]
        image = found[f"{kind}/web_{version}_x86-64.efi"]
        assert section(image, ".osrel", tmp_path) == RELEASED.replace(b'"2"', f'"{version}"'.encode())
        assert section(image, ".linux", tmp_path) == b"k" * 9000
        damaged = section(image, ".initrd", tmp_path) != INITRD
        assert damaged is (kind == "kernel")
        line = section(image, ".cmdline", tmp_path).decode()
        grub = found[f"{kind}/web_{version}_x86-64.grub"].decode()
        added = line.removeprefix(LINE.decode())
        assert grub == GRUB.decode().replace("panic=10", f"panic=10{added}"), "GRUB is told the same"
        assert bool(added) is (kind != "kernel")
        assert re.fullmatch(r"[A-Za-z0-9_.,:/=@%+ -]*", added), "nothing that GRUB would take for anything else"
    assert section(found["kernel/web_1-a1.kernel_x86-64.efi"], ".initrd", tmp_path)[:4096] == bytes(4096)


def test_one_byte_of_the_root_is_changed_and_all_else_is_in_order(tmp_path: Path) -> None:
    found = offered(asked(tmp_path), tmp_path)
    was, now = (found[name] for name in ("web_2_x86-64_1.root", "root/web_1-a4.root_x86-64_1.root"))
    assert [at for at, (one, other) in enumerate(zip(was, now, strict=True)) if one != other] == [8]
    assert found["root/web_1-a4.root_x86-64_2.verity"] == found["web_2_x86-64_2.verity"]
    assert found["root/web_1-a4.root_x86-64.grub"] == GRUB
    image = found["root/web_1-a4.root_x86-64.efi"]
    assert section(image, ".osrel", tmp_path) == RELEASED.replace(b'"2"', b'"1-a4.root"')
    assert section(image, ".cmdline", tmp_path) == LINE
    assert section(image, ".initrd", tmp_path) == INITRD


def test_the_service_gives_the_system_its_version_and_fails(tmp_path: Path) -> None:
    [credential, wants] = broken.words_of(Broken.SERVICE, "1-a3.service")
    unit = base64.b64decode(credential.rpartition(":")[2]).decode().replace("\\\n", " ")
    assert credential.startswith("systemd.set_credential_binary=systemd.extra-unit.metallize-broken.service:")
    assert wants == "systemd.wants=metallize-broken.service"
    [(script, name)] = re.findall(r"^ExecStart=/bin/sh -c '(.*)' (\S+)$", unit, re.MULTILINE)
    released, fake = tmp_path / "os-release", tmp_path / "bin" / "mount"
    released.write_bytes(RELEASED)
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\n[ "$1" = --bind ] && cp "$2" "$3"\n')
    fake.chmod(0o755)
    here = script.replace("/usr/lib/os-release", str(released)).replace("/run/", f"{tmp_path}/")
    env = {"PATH": f"{fake.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", here, name], check=False, capture_output=True, env=env)
    assert (done.returncode, done.stderr) == (1, b"")
    assert released.read_text() == RELEASED.decode().replace('"2"', "1-a3.service")


def test_a_command_line_that_linux_would_cut_is_told(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=re.escape("Linux takes 2047")):
        offered(asked_of_a_long_line(tmp_path), tmp_path)


def asked_of_a_long_line(folder: Path) -> VerifyRequest:
    wanted = asked(folder)
    part = next(each for each in wanted.manifest["parts"] if each["suffix"] == ".efi")
    content = pe({".osrel": RELEASED, ".cmdline": b"x" * 1900, ".linux": b"k", ".initrd": INITRD})
    with wanted.image.open("r+b") as file:
        file.seek(part["offset"])
        file.write(content)
    part["size"] = len(content)
    return wanted


@pytest.mark.parametrize(
    ("suffix", "words"), [(".efi", "PE"), (".grub", "GRUB's command linux"), (".root", "no squashfs")]
)
def test_parts_that_are_not_what_they_should_be_are_told(tmp_path: Path, suffix: str, words: str) -> None:
    wanted = asked(tmp_path)
    part = next(each for each in wanted.manifest["parts"] if each["suffix"].endswith(suffix))
    with wanted.image.open("r+b") as file:
        file.seek(part["offset"])
        file.write(b"#" * 300)
    with pytest.raises(HostError, match=words):
        offered(wanted, tmp_path)


def test_firmware_that_asks_for_signatures_is_told_of_the_kernels_that_have_none(tmp_path: Path) -> None:
    wanted = replace(asked(tmp_path), machine=ovmf_secureboot.MACHINE)
    with ExitStack() as stack:
        assert wanted.boot.update is not None
        files, kernels = updating._files(stack, wanted, wanted.boot.update, tmp_path, "1", None)
        assert files is not None
        assert len(kernels) == 4
        for kind, number, digest in zip(("kernel", "init", "service", "root"), (1, 2, 3, 4), kernels, strict=True):
            with files.content(f"{kind}/web_1-a{number}.{kind}_x86-64.efi", "http://x") as content:
                assert content is not None
                (tmp_path / "seen.efi").write_bytes(content.read(0, content.size_bytes))
            with (tmp_path / "seen.efi").open("rb") as file:
                assert uki.authenticode(file.fileno()) == digest


@pytest.mark.parametrize("overrides", [MachineOverrides(), MachineOverrides(setup_mode=True)])
def test_a_machine_whose_firmware_takes_no_more_keys_is_refused_with_what_helps(
    tmp_path: Path, overrides: MachineOverrides
) -> None:
    (tmp_path / "old.img").write_bytes(b"")
    wanted = replace(
        asked(tmp_path, **{"from": str(tmp_path / "old.img")}),
        machine=ovmf_secureboot.MACHINE, machine_entry="own", overrides=overrides,
    )  # fmt: skip
    with pytest.raises(UsageError, match="machine `own` starts what its firmware's own keys have signed"):
        updating.require_update(wanted)
    with pytest.raises(UsageError, match=r"old\.img has no slots"):
        updating.require_update(replace(wanted, overrides=MachineOverrides(keys="-----BEGIN CERTIFICATE-----")))


def test_an_image_without_such_parts_cannot_be_broken(tmp_path: Path) -> None:
    old = tmp_path / "old.img"
    old.write_bytes(b"")
    wanted = asked(tmp_path, **{"from": str(old)})
    with pytest.raises(UsageError, match=r"old\.img has no slots"):
        updating.require_update(wanted)
    for end in (".grub", ".root"):
        parts = [each for each in wanted.manifest["parts"] if not each["suffix"].endswith(end)]
        without = replace(wanted, manifest={**wanted.manifest, "parts": parts})
        with pytest.raises(UsageError, match=re.escape(f"has no part {end}")):
            updating.require_update(without)


def test_a_section_that_has_no_room_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "kernel.efi"
    path.write_bytes(kernel())
    number = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(ValueError, match="has room for 4096 bytes"):
            uki.replace_section(number, ".cmdline", b"x" * 4097)
        with pytest.raises(ValueError, match=r"no section \.dtb"):
            uki.content_of(number, ".dtb")
    finally:
        os.close(number)
    assert path.read_bytes() == kernel()
