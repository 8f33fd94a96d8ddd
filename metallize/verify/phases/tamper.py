"""An image that somebody has changed must not come up: by one byte, or by the signature that it lost.

Each change is made in a fresh overlay of the image, whose own bytes stay, and booted. Firmware or boot loader refuse
it, or dm-verity stops it with a word of its own; a boot that ends for another reason shows nothing. The image has one
system, so that there is none to fall back to: whatever reaches a login prompt has come up as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Collection

from metallize.deadline import Deadline
from metallize.files.parts import parts_of
from metallize.files.tampering import Patch, patch_of
from metallize.guest import GuestFailed
from metallize.model.kind import Claim
from metallize.model.outcome import SIGNED, Tampered
from metallize.model.report import Entry, Finding, Result, Stage
from metallize.qemu.patching import write_patch
from metallize.verify.checklist import Checklist, Turn
from metallize.verify.phases.refusal import default_refusals
from metallize.verify.prepared import PreparedBoot
from metallize.verify.request import VerifyRequest

TURN = Turn(name="tamper")
_TITLES = {
    Tampered.ROOT: "a changed root filesystem is refused",
    Tampered.VERITY: "a changed tree of hashes is refused",
    Tampered.UKI: "a changed kernel image is refused",
    Tampered.UNSIGNED_UKI: "a kernel image without its signature is refused",
    Tampered.CMDLINE: "a changed command line of the kernel is refused",
    Tampered.TPM: "the disk stays locked in a machine with another TPM",
}
_VERITY = ("device-mapper: verity: ", " is corrupted")
"""What dm-verity says of a block that is not the one of its hash, from the device on."""
_ENDED = ("dm-verity device corrupted", "metallize: the root filesystem on ")
"""What it says as it ends all, and the initrd where it does not get so far."""
_LOCKED = "volume-locked"
"""The rule for what the initrd says then."""
_NO_TPM = "the machine has no TPM: `tpm: true` gives it one"
_UNASKED = "the machine asks for no signatures: boot.machines has one that does, or none looks at this"


def plan(request: VerifyRequest) -> tuple[Entry, ...]:
    """An entry for each change."""
    if request.refusal is not None:
        return ()
    return tuple(TURN.entry(str(kind), _TITLES[kind], "tamper") for kind in request.boot.tamper)


def patches_of(request: VerifyRequest) -> dict[Tampered, Patch]:
    """What is changed for each that this machine can refuse. Raises HostError where the image has no such part."""
    parts = parts_of(request.manifest, request.image) if request.boot.tamper else ()
    return {kind: patch_of(kind, parts, request.image) for kind in request.boot.tamper if _looks(request, kind)}


def _looks(request: VerifyRequest, kind: Tampered) -> bool:
    return kind is not Tampered.TPM and (request.machine.secure_boot or kind not in SIGNED)


def run(boot: PreparedBoot, checklist: Checklist) -> None:
    """Boot one changed disk after the other, and settle what became of each. Raises as `switched_on` does."""
    bare, patches = boot.bare(), patches_of(boot.request)
    for kind in boot.request.boot.tamper:
        entry = checklist[f"{TURN.name}/{kind}"]
        if kind is Tampered.TPM:
            checklist.settle(_with_another_tpm(bare, entry) if bare.plan.tpm else entry.skipped(_NO_TPM))
            continue
        if kind not in patches:
            checklist.settle(entry.skipped(_UNASKED))
            continue
        with bare.with_fresh_disk() as fresh:
            write_patch(fresh.plan, patches[kind])
            checklist.settle(_booted(fresh, kind, entry))


def _with_another_tpm(boot: PreparedBoot, entry: Entry) -> Result:
    """The disk that the machine has written to, beside a TPM that has never seen it."""
    with boot.with_another_tpm() as other:
        return _booted(other, Tampered.TPM, entry)


def _booted(boot: PreparedBoot, kind: Tampered, entry: Entry) -> Result:
    """Whether the machine gets as far as a login prompt with this disk, or what kept it."""
    with boot.switched_on(f"tampered-{kind}") as guest:
        watch = guest.watch
        limit = Deadline.after(boot.limit_seconds, f"a changed {kind} to be refused")
        finding: Finding | None = None
        try:
            watch.wait(lambda: True if watch.stage.rank >= Stage.LOGIN.rank else None, limit)
        except GuestFailed as failed:
            finding = failed.finding
        watch.ending()
        return judge(entry, kind, finding, watch.stage, guest.console.since(0), default_refusals())


def judge(
    entry: Entry, kind: Tampered, finding: Finding | None, stage: Stage, console: str, refusals: Collection[str]
) -> Result:
    """What became of one boot; pure. `console` is all that it printed."""
    told = [line for line in console.split("\n") if _says_corrupted(line)]
    if stage.rank >= Stage.LOGIN.rank:
        claim = _claim("a login prompt, as if nothing had happened", holds=False)
    elif finding is None:
        claim = _claim(f"neither refused nor come up: it got as far as stage {stage}", holds=False)
    elif kind is Tampered.TPM:
        claim = _claim(f"{finding.rule}: {finding.cause}", holds=finding.rule == _LOCKED)
    elif kind in SIGNED:
        claim = _claim(f"{finding.rule}: {finding.cause}", holds=finding.rule in refusals)
    elif told:
        claim = _claim(f"{finding.rule}: {told[0].strip()}", holds=True)
    else:
        claim = _claim(f"{finding.rule}: {finding.cause}, and not a word of dm-verity's", holds=False)
    return entry.judged(claim, observed="console", seconds=finding.seconds if finding is not None else 0.0)


def _says_corrupted(line: str) -> bool:
    begin, end = _VERITY
    return end in line.partition(begin)[2] or any(each in line for each in _ENDED)


def _claim(actual: str, *, holds: bool) -> Claim:
    return Claim(attribute="boot", expected="refused", actual=actual, holds=holds)
