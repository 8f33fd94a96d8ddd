"""boot.tamper: which bytes are changed, and what a boot of them shows."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pefile
import pytest

from metallize.errors import HostError, UsageError
from metallize.files.parts import Part
from metallize.files.tampering import Patch, patch_of
from metallize.machines import ovmf, ovmf_secureboot
from metallize.model.boot import Boot, Media
from metallize.model.outcome import Outcome, Tampered
from metallize.model.profile import ImageFormat
from metallize.model.report import Finding, Severity, Stage, Status
from metallize.qemu.argv import GuestPlan
from metallize.qemu.patching import write_patch
from metallize.verify import VerifyRequest
from metallize.verify.course import plan_course
from metallize.verify.phases import tamper
from metallize.verify.phases.refusal import default_refusals
from tests.programs import efi_program

KERNEL = efi_program(
    {".osrel": b'NAME="web"\n', ".cmdline": b" roothash=ab  ro quiet\n\0", ".linux": b"k" * 700}, signature=b"s" * 1600
)
PARTS = {
    "_1.root": b"hsqs".ljust(8192, b"r"),
    "_1.verity": b"verity\0\0".ljust(12288, b"v"),
    ".grub": b"linux (uki)2+2",
    ".efi": KERNEL,
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "web.img"
    file.write_bytes(bytes(4096) + b"".join(PARTS.values()))
    return file


def parts() -> tuple[Part, ...]:
    found, at = [], 4096
    for suffix, content in PARTS.items():
        digest = hashlib.sha256(content).hexdigest()
        found.append(Part(suffix=suffix, offset=at, size_bytes=len(content), sha256=digest))
        at += len(content)
    return tuple(found)


def changed(image: Path, kind: Tampered) -> tuple[bytes, bytes, Patch]:
    patch = patch_of(kind, parts(), image)
    before = image.read_bytes()
    after = before[: patch.offset] + patch.content + before[patch.offset + len(patch.content) :]
    assert len(after) == len(before)
    return before, after, patch


def places(before: bytes, after: bytes) -> list[int]:
    return [at for at, (one, other) in enumerate(zip(before, after, strict=True)) if one != other]


def test_a_byte_of_each_part_is_another_one(image: Path) -> None:
    assert places(*changed(image, Tampered.ROOT)[:2]) == [4096 + 8]
    assert places(*changed(image, Tampered.VERITY)[:2]) == [4096 + 8192 + 4096]
    [place] = places(*changed(image, Tampered.UKI)[:2])
    assert image.read_bytes()[place:].startswith(b'NAME="web"')


def test_a_blank_of_the_command_line_is_another_one(image: Path) -> None:
    before, after, _ = changed(image, Tampered.CMDLINE)
    [place] = places(before, after)
    start = before.index(b" roothash")
    assert after[start:].startswith(b" roothash=ab\t ro quiet\n\0")
    assert place == start + len(b" roothash=ab")


def test_a_signature_is_taken_away_and_nothing_else(image: Path) -> None:
    before, after, patch = changed(image, Tampered.UNSIGNED_UKI)
    start = before.index(b"MZ")
    size = len(KERNEL)
    was, now = (pefile.PE(data=content[start:][:size], fast_load=True) for content in (before, after))
    where = pefile.DIRECTORY_ENTRY["IMAGE_DIRECTORY_ENTRY_SECURITY"]
    assert was.OPTIONAL_HEADER.DATA_DIRECTORY[where].Size == 1600
    assert now.OPTIONAL_HEADER.DATA_DIRECTORY[where].Size == 0
    assert (len(patch.content), before[: patch.offset], before[patch.offset + 8 :]) == (
        8,
        after[: patch.offset],
        after[patch.offset + 8 :],
    )


@pytest.mark.parametrize(
    ("suffix", "content", "kind", "words"),
    [
        ("_1.root", b"other".ljust(8192), Tampered.ROOT, "it is no squashfs"),
        ("_1.verity", b"verity\0\0", Tampered.VERITY, "it is no tree of dm-verity's"),
        (".efi", b"MZ", Tampered.UKI, ".efi of web.img"),
        (".efi", efi_program({".osrel": b"a"}), Tampered.UKI, "it has no signature"),
        (".efi", efi_program({".osrel": b"a"}), Tampered.UNSIGNED_UKI, "it has no signature"),
        (".efi", efi_program({".linux": b"a"}, signature=b"s" * 8), Tampered.UKI, "no section .osrel"),
        (".efi", efi_program({".cmdline": b"a b"}), Tampered.CMDLINE, "it has no signature"),
        (".efi", efi_program({".linux": b"a"}, signature=b"s" * 8), Tampered.CMDLINE, "no section .cmdline"),
        (".efi", efi_program({".cmdline": b" ro \n"}, signature=b"s" * 8), Tampered.CMDLINE, "no blank is between"),
    ],
)
def test_what_cannot_be_tampered_with_is_told(
    suffix: str, content: bytes, kind: Tampered, words: str, tmp_path: Path
) -> None:
    image = tmp_path / "web.img"
    image.write_bytes(content)
    part = Part(suffix=suffix, offset=0, size_bytes=len(content), sha256="")
    with pytest.raises(UsageError, match=r"boot\.tamper") as caught:
        patch_of(kind, [part], image)
    assert words in caught.value.message
    with pytest.raises(UsageError, match="has no part"):
        patch_of(kind, [], image)
    with pytest.raises(HostError):
        patch_of(kind, [part], tmp_path / "none")


def request(image: Path, **more: object) -> VerifyRequest:
    manifest = {
        "parts": [
            {"suffix": each.suffix, "offset": each.offset, "size": each.size_bytes, "sha256": each.sha256}
            for each in parts()
        ]
    }
    asked = VerifyRequest(
        image=image,
        image_format=ImageFormat.RAW,
        boot=Boot.model_validate({"tamper": ["root", "uki"]}),
        assertions=(),
        machine_entry="own",
        machine=ovmf_secureboot.MACHINE,
        kinds={},
        runs_dir=image.parent,
        manifest=manifest,
    )
    return replace(asked, **more)  # type: ignore[arg-type]


def test_each_change_is_on_the_checklist_before_anything_is_booted(image: Path) -> None:
    ids = [entry.id for entry in plan_course(request(image))]
    assert ids[-2:] == ["tamper/root", "tamper/uki"]
    refused = Boot.model_validate({"tamper": ["root"], "expect": "refused"})
    assert not [each for each in plan_course(request(image, boot=refused)) if each.id.startswith("tamper")]
    assert refused.expect == Outcome(refused=())


def test_a_machine_that_asks_for_no_signature_is_shown_no_other_kernel(image: Path) -> None:
    assert list(tamper.patches_of(request(image))) == [Tampered.ROOT, Tampered.UKI]
    assert list(tamper.patches_of(request(image, machine=ovmf.MACHINE))) == [Tampered.ROOT]


def test_another_tpm_changes_no_byte_and_is_shown_to_every_machine(image: Path) -> None:
    asked = request(image, boot=Boot.model_validate({"tamper": ["tpm", "root"]}), machine=ovmf.MACHINE)
    assert list(tamper.patches_of(asked)) == [Tampered.ROOT]
    entry = plan_course(asked)[-2]
    assert (entry.id, entry.title) == ("tamper/tpm", "the disk stays locked in a machine with another TPM")


def found(rule: str) -> Finding:
    return Finding(rule=rule, stage=Stage.INITRD, severity=Severity.FATAL, cause="it went wrong", seconds=4.2)


CORRUPTED = (
    "[    9.1] device-mapper: verity: 254:2: data block 0 is corrupted\n[    9.2] Kernel panic - not syncing: x\n"
)
HEALTHY = '[    9.1] device-mapper: verity: sha256 using shash "sha256-generic"\n'
REFUSED = "secure-boot-refused"


@pytest.mark.parametrize(
    ("kind", "finding", "stage", "console", "holds", "words"),
    [
        (Tampered.ROOT, found("kernel-panic"), Stage.INITRD, CORRUPTED, True, "data block 0 is corrupted"),
        (Tampered.ROOT, found("kernel-panic"), Stage.INITRD, "Kernel panic\n", False, "not a word of dm-verity's"),
        (Tampered.ROOT, found("kernel-panic"), Stage.INITRD, HEALTHY, False, "not a word of dm-verity's"),
        (Tampered.ROOT, found("kernel-panic"), Stage.INITRD, HEALTHY + CORRUPTED, True, "data block 0 is corrupted"),
        (Tampered.VERITY, None, Stage.LOGIN, CORRUPTED, False, "as if nothing had happened"),
        (Tampered.VERITY, found("kernel-panic"), Stage.LOGIN, CORRUPTED, False, "as if nothing had happened"),
        (Tampered.ROOT, None, Stage.INITRD, CORRUPTED, False, "neither refused nor come up"),
        (Tampered.UKI, found(REFUSED), Stage.LOADER, "", True, REFUSED),
        (Tampered.UKI, found("kernel-panic"), Stage.KERNEL, CORRUPTED, False, "kernel-panic"),
        (Tampered.CMDLINE, found(REFUSED), Stage.LOADER, "", True, REFUSED),
        (Tampered.CMDLINE, found("kernel-panic"), Stage.KERNEL, CORRUPTED, False, "kernel-panic"),
        (Tampered.TPM, found("volume-locked"), Stage.INITRD, "", True, "volume-locked"),
        (Tampered.TPM, found("kernel-panic"), Stage.INITRD, CORRUPTED, False, "kernel-panic: it went wrong"),
        (Tampered.TPM, None, Stage.LOGIN, "", False, "as if nothing had happened"),
        (Tampered.UNSIGNED_UKI, found("silent-console"), Stage.FIRMWARE, "", False, "silent-console"),
        (Tampered.UNSIGNED_UKI, found(REFUSED), Stage.READY, "", False, "as if nothing had happened"),
    ],
)
def test_a_refusal_has_a_word_of_its_own(
    kind: Tampered, finding: Finding | None, stage: Stage, console: str, holds: bool, words: str
) -> None:
    entry = tamper.TURN.entry(str(kind), "refused", "tamper")
    result = tamper.judge(entry, kind, finding, stage, console, default_refusals())
    assert result.status is (Status.HELD if holds else Status.FAILED)
    assert words in result.claims[0].actual


def test_a_patch_changes_the_overlay_and_not_the_image(image: Path, tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.qcow2"
    image.write_bytes(image.read_bytes().ljust(1 << 20, b"\0"))
    before, after, patch = changed(image, Tampered.ROOT)
    make = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(image), str(overlay)]
    subprocess.run(make, check=True, capture_output=True)
    plan = GuestPlan(
        machine=ovmf.MACHINE,
        accelerator="tcg",
        cpu="qemu64",
        memory_bytes=1 << 30,
        cpus=1,
        media=Media.DISK,
        image=image,
        image_format=ImageFormat.RAW,
        overlay=overlay,
    )
    write_patch(plan, patch)
    assert image.read_bytes() == before
    seen = tmp_path / "seen.img"
    subprocess.run(["qemu-img", "convert", "-O", "raw", str(overlay), str(seen)], check=True, capture_output=True)
    assert seen.read_bytes() == after
