"""The power goes while the update is written: what would be started is whole at each moment, and the update completes.

The log of what the guest wrote is replayed on the host, where nothing is booted (qemu/slots). Then some of the disks
are: whichever version comes up must have what was written before, and become the new one by the same update.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from metallize.errors import HostError
from metallize.files.parts import Part
from metallize.guest import GuestFailed, Shell
from metallize.model.kind import Claim
from metallize.model.report import Entry, Result
from metallize.model.update import Update
from metallize.qemu.slots.disk import System, system_of
from metallize.qemu.slots.update import Seen, Window, check_update, disks_of_update
from metallize.verify.boot import run_boot
from metallize.verify.checklist import AFTER_UPDATE, Checklist, Turn
from metallize.verify.phases import reboot, upkeep
from metallize.verify.phases.upkeep import State
from metallize.verify.prepared import PreparedBoot
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

_STARTS = "update/starts"
_ESP = "update/esp"
_FILESYSTEMS = "update/filesystems"
_BACK = "update/back"
_INSTALL = "update/install"
_ASKED = "update/restart"
_VERSION = "update/version"
_WRITTEN = "update/state"
_KEEP = "update/keep"
_SHOWN = 5
"""Of the moments at which something is wrong."""


def turns_of(update: Update) -> tuple[Turn, ...]:
    """The boots of disks whose power went during the update."""
    boots = update.power_cuts.boots if update.power_cuts is not None else 0
    return tuple(
        Turn(name=f"update-cut-{number}", suffix=f" when the power went at moment {number} of the update")
        for number in range(1, boots + 1)
    )


def plan(request: VerifyRequest) -> tuple[Entry, ...]:
    """What is seen of the disk at each moment, and what becomes of those that are booted."""
    update = request.boot.update
    if update is None or update.power_cuts is None:
        return ()
    count = update.power_cuts.moments
    whole = (
        AFTER_UPDATE.entry(_FILESYSTEMS, f"filesystems are whole at {count} moments of it", "power-cut"),
    )  # fmt: skip
    entries = [
        AFTER_UPDATE.entry(_STARTS, "what would be started is whole at every moment of it", "power-cut"),
        AFTER_UPDATE.entry(_ESP, "the ESP's filesystem is whole at every moment of it, or mended", "power-cut"),
        *(whole if count else ()),
    ]
    for turn in turns_of(update):
        entries += [
            turn.entry(_BACK, "one of both versions comes up", "power-cut"),
            *(
                turn.entry(f"{_INSTALL}/{number}", f"{update.engine} completes the update", "update")
                for number, _ in enumerate(update.commands, start=1)
            ),
            turn.entry(_ASKED, "clean reboot", "reboot"),
            turn.entry(_VERSION, "the version is that of this image", "update"),
            turn.entry(_WRITTEN, "what was written before is there", "update"),
            *(
                turn.entry(f"{_KEEP}/{number}", f"{path} is kept", "update")
                for number, path in enumerate(update.keep, start=1)
            ),
        ]
    return tuple(entries)


def new_system(parts: Iterable[Part], label: str) -> System:
    """The new release as it must be on the disk. Raises HostError where the image does not have all parts."""
    try:
        return system_of(parts, label)
    except ValueError as exc:
        raise HostError(f"boot.update.power_cuts: {label}: {exc}", hint="an image of generator `ab` has") from exc


@dataclass(slots=True, kw_only=True)
class Cuts:
    """What is done with the log of one update, once its machine is off; `boot` is that machine."""

    update: Update
    boot: PreparedBoot
    checklist: Checklist
    window: Window
    new: System
    url: str
    version: str
    """What the new image says of its own."""
    before: State
    notes: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Look at all moments, and boot some. Raises HostError or CommandError where nobody can look."""
        asked = self.update.power_cuts
        if asked is None:
            raise AssertionError("no power cut is asked for")
        seed = asked.seed if asked.seed is not None else secrets.randbelow(1 << 31)
        plan, folder = self.boot.plan, self.boot.folder
        firmware = self.boot.request.machine.firmware
        seen = check_update(plan, folder, self.window, self.new, firmware=firmware, count=asked.moments, seed=seed)
        starts = judge_starts(self.checklist[f"{AFTER_UPDATE.name}/{_STARTS}"], seen, seed)
        self.checklist.settle(starts, judge_esps(self.checklist[f"{AFTER_UPDATE.name}/{_ESP}"], seen))
        if asked.moments:
            self.checklist.settle(judge_filesystems(self.checklist[f"{AFTER_UPDATE.name}/{_FILESYSTEMS}"], seen))
        turns = turns_of(self.update)
        if not turns or not starts.holds:
            return
        with disks_of_update(plan, folder, self.window, len(turns)) as disks:
            for turn, disk in zip(turns, disks, strict=False):
                self.notes.append(f"{turn.suffix.strip()}: the disk {disk.cut}")
                self._boot(turn, replace(self.boot, plan=disk.plan))

    def _boot(self, turn: Turn, boot: PreparedBoot) -> None:
        sessions: list[BootSession] = []
        with boot.switched_on(turn.name) as guest:
            try:
                sessions.append(boot.bare().session(guest, Turn(name=f"{turn.name}-back", suffix=turn.suffix)))
                self._complete(turn, boot, sessions)
            except GuestFailed as failed:
                cause = f"{failed.finding.rule}: {failed.finding.cause}"
                left = next(each for each in self._planned(turn) if not self.checklist.is_settled(each.id))
                claim = _claim("guest", "no failure", cause, holds=False)
                self.checklist.settle(left.judged(claim, observed="console"))
            finally:
                for session in sessions:
                    self.notes += session.notes
                    session.end()
                    session.close()

    def _complete(self, turn: Turn, boot: PreparedBoot, sessions: list[BootSession]) -> None:
        first = sessions[0]
        shell = self._up(first, self._entry(turn, _BACK))
        if shell is None:
            return
        there = upkeep.read_state(first, shell, self.update)
        known = (self.before.version, self.version)
        come = _claim(
            "version", " or ".join(each or "?" for each in known), there.version or "", holds=there.version in known
        )
        self.checklist.settle(self._entry(turn, _BACK).judged(come, observed=shell.name))
        if not come.holds:
            return
        installed = upkeep.install(first, shell, self.update, self.url, self._entries(turn, _INSTALL))
        self.checklist.settle(*installed)
        if not all(each.holds for each in installed):
            return
        asked = self._entry(turn, _ASKED)
        now, by = there, shell.name
        if there.version == self.version:
            none = _claim("reboot", "none where the new version runs", "none", holds=True)
            self.checklist.settle(asked.judged(none, observed=shell.name))
        else:
            was = reboot.restart(first, asked, self.checklist)
            if was is None:
                return
            after = boot.bare().session(first.guest, Turn(name=f"{turn.name}-after", suffix=turn.suffix))
            sessions.append(after)
            after.from_position = was.position
            new_shell = self._up(after, self._entry(turn, _VERSION))
            if new_shell is None:
                return
            now, by = upkeep.read_state(after, new_shell, self.update), new_shell.name
        version = self._entry(turn, _VERSION)
        said = _claim("version", self.version, now.version or "", holds=now.version == self.version)
        self.checklist.settle(version.judged(said, observed=by))
        written, kept = self._entry(turn, _WRITTEN), self._entries(turn, _KEEP)
        upkeep.settle_kept(self.checklist, written, kept, was=self.before, now=now, by=by)

    def _up(self, session: BootSession, entry: Entry) -> Shell | None:
        """A shell of the system that comes up; None where none does, and the entry says why. Raises GuestFailed."""
        run_boot(session)
        wrong = next((each for each in session.results if not each.holds), None)
        shell = session.best_shell()
        if shell is not None and wrong is None:
            return shell
        why = f"{wrong.title}: {wrong.status}" if wrong is not None else "no shell is logged in"
        self.checklist.settle(entry.unseen(f"looked for a system that is up: {why}"))
        return None

    def _entry(self, turn: Turn, id_: str) -> Entry:
        return self.checklist[f"{turn.name}/{id_}"]

    def _entries(self, turn: Turn, place: str) -> tuple[Entry, ...]:
        return tuple(each for each in self._planned(turn) if each.id.startswith(f"{turn.name}/{place}/"))

    def _planned(self, turn: Turn) -> Sequence[Entry]:
        return [each for each in self.checklist.entries if each.id.startswith(f"{turn.name}/")]


def judge_starts(entry: Entry, seen: Seen, seed: int) -> Result:
    """What would be started at each moment; pure."""
    if not seen.tried or not seen.writes:
        return entry.unseen("looked for what the update wrote to the disk: nothing")
    labels = ", ".join(f"{label} at {count}" for label, count in sorted(seen.started.items()))
    note = (
        f"{seen.tried} moments in {seen.writes} writes, in {seen.seconds:.1f} s ({seen.a_minute:.0f} a minute): "
        f"{labels or 'none starts'}; power_cuts: {{seed: {seed}}} chooses the same of the same writes"
    )
    whole = _claim(
        "started",
        "one of both releases, whole, at every moment",
        f"not at {len(seen.bricks)} of {seen.tried}" if seen.bricks else f"at all {seen.tried}",
        holds=not seen.bricks,
    )
    bricks = (
        Claim(attribute=f"{brick.cut} ({brick.write})", expected="whole", actual=brick.problem, holds=False)
        for brick in seen.bricks[:_SHOWN]
    )
    return entry.judged(whole, *bricks, observed="the disk, on the host", note=note)


def judge_esps(entry: Entry, seen: Seen) -> Result:
    """The ESP's FAT at all moments: damage that a boot loader need not notice, and what is lost by it; pure."""
    if not seen.esps:
        return entry.unseen("looked for an ESP on the disk: no table led to one")
    lost = [each for each in seen.damages if each.lost]
    mended = [each for each in seen.damages if not each.lost]
    actual = f"damaged at {len(seen.damages)} of {seen.tried} moments" if seen.damages else "whole at all"
    then = f"for good at {len(lost)}" if lost else "mended each time" if mended else f"{seen.esps} different ones"
    whole = _claim(
        "filesystem",
        "whole at each moment, or mended by fsck.fat with nothing lost that is started",
        f"{actual}, {then}",
        holds=not lost,
    )
    damages = (
        Claim(
            attribute=f"{each.cut} ({each.write})", expected="whole, or mended", actual=each.lost, holds=False,
            note=f"{each.problem}; started would be {each.started or 'nothing whole'}",
        )
        for each in lost[:_SHOWN]
    )  # fmt: skip
    words = [f"{each.cut} ({each.write}): {each.problem}; started: {each.started or 'nothing'}" for each in mended]
    return entry.judged(whole, *damages, observed="fsck.fat on the host", note="\n".join(words[:_SHOWN]))


def judge_filesystems(entry: Entry, seen: Seen) -> Result:
    """The ext4 filesystems at the seeded moments; pure."""
    if not seen.checks:
        return entry.unseen("looked for filesystems on the disk that the host can check: there is none")
    whole = _claim(
        "filesystems",
        "whole at each moment, once their journals are replayed",
        f"damaged at {len(seen.faults)}" if seen.faults else f"whole at all, {seen.checks} checks",
        holds=not seen.faults,
    )
    faults = (
        Claim(
            attribute=f"partition {fault.partition} {fault.cut}", expected="clean",
            actual=fault.problem.splitlines()[-1], holds=False, note=fault.problem,
        )
        for fault in seen.faults[:_SHOWN]
    )  # fmt: skip
    return entry.judged(whole, *faults, observed="e2fsck on the host")


def _claim(attribute: str, expected: str, actual: str, *, holds: bool) -> Claim:
    return Claim(attribute=attribute, expected=expected, actual=actual, holds=holds)
