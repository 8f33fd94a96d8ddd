"""A machine with the release before becomes one with this image, and everything must hold then.

The old image is booted on a machine of its own, while the first one is off: state is written, the update installed, the
guest started again and judged as the new image was. What it says of its version must be what the new image says.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from shlex import quote

from metallize.deadline import Deadline
from metallize.guest import GuestFailed, Shell
from metallize.model.kind import Claim, Observation
from metallize.model.report import Entry, Result, Severity
from metallize.model.update import URL, Update
from metallize.patience import UPDATE_DRAIN as DRAIN_SECONDS
from metallize.patience import UPDATE_LOOK as LOOK_SECONDS
from metallize.qemu.vm import RunningGuest
from metallize.verify.boot import run_boot
from metallize.verify.checklist import AFTER_UPDATE, Checklist, Turn
from metallize.verify.phases import reboot
from metallize.verify.phases.groups import judge_command
from metallize.verify.prepared import PreparedBoot
from metallize.verify.request import VerifyRequest
from metallize.verify.session import BootSession

FOLDER = "update"
"""Of the run folder: the console, the arguments and the logs of the machine that is updated."""
BEFORE = Turn(name="before-update", suffix=" before the update")
_READY = "update/before"
_WRITTEN = "update/state"
_VERSION = "update/version"
_GUEST = "update/guest"
_PLACE = "/var/tmp/metallize-update"  # noqa: S108 - in the guest, and in no other way writable by everybody


def plan(request: VerifyRequest) -> tuple[Entry, ...]:
    """The system before, what is installed on it, the whole boot after that, and what must be new and what not."""
    update = request.boot.update
    if update is None or request.refusal is not None:
        return ()
    turn = AFTER_UPDATE
    commands = enumerate(update.commands, start=1)
    return (
        turn.entry(_READY, "the release before comes up, so that it can be updated:", "update"),
        *(turn.entry(f"update/install/{number}", _title(number, update), "update") for number, _ in commands),
        *reboot.plan(request, turn),
        turn.entry(_VERSION, "the version is that of this image", "update"),
        turn.entry(_WRITTEN, "what was written before is there", "update"),
        *(
            turn.entry(f"update/keep/{number}", f"{path} is kept", "update")
            for number, path in enumerate(update.keep, start=1)
        ),
        turn.entry(_GUEST, "the guest goes on", "update"),
    )


def _title(number: int, update: Update) -> str:
    if update.engine is not None:
        return f"{update.engine} installs the update"
    first = update.commands[number - 1].strip().splitlines()[0]
    return f"install: {first}"


@dataclass(slots=True, kw_only=True)
class Updating:
    """One machine's update; `version` is what the new image says of its own, `url` where the guest finds the files."""

    update: Update
    boot: PreparedBoot
    """Of the old image, with all that is asked of the new one."""
    checklist: Checklist
    version: str | None
    url: str = ""
    notes: list[str] = field(default_factory=list)

    def run(self, guest: RunningGuest) -> None:
        """Go through it on a guest that has just been switched on; what fails is settled, and ends it."""
        before = self.boot.bare().session(guest, BEFORE)
        after: BootSession | None = None
        try:
            state = self._prepared(before)
            if state is None:
                return
            after = self.boot.session(guest, AFTER_UPDATE, self.checklist)
            reboot.reboot(before, after)
            self._judge(after, state)
            self._conclude(after)
        except GuestFailed as failed:
            self._failed(failed)
        finally:
            for session in (before, after):
                if session is not None:
                    self.notes += session.notes
                    session.end()
                    session.close()

    def _prepared(self, before: BootSession) -> State | None:
        """The old system is up, has state, and the update on it; None where it does not come to that."""
        ready = self.checklist[f"{AFTER_UPDATE.name}/{_READY}"]
        run_boot(before)
        wrong = next((each for each in before.results if not each.holds), None)
        shell = before.best_shell()
        if shell is None or wrong is not None:
            why = f"{wrong.title}: {wrong.status}" if wrong is not None else "no shell is logged in"
            self.checklist.settle(ready.unseen(f"booted {self.boot.request.image.name}: {why}"))
            return None
        token = secrets.token_hex(16)
        write = f"printf %s {token} >{_PLACE} && sync {_PLACE}"
        written, version, *kept = _looked(before, shell, [write, self.update.version_command, *self._probes()])
        if written is None or written.status != 0 or (said := _line(version)) is None:
            why = "it cannot be written to" if said_nothing(written) else f"`{_first(self.update)}` says nothing"
            self.checklist.settle(ready.unseen(f"asked the system before for its version: {why}", observed=shell.name))
            return None
        self.checklist.settle(
            ready.judged(_claim("before", "up", f"up, version {said}", holds=True), observed=shell.name)
        )
        if not self._install(before, shell):
            return None
        return State(token=token, version=said, kept=tuple(_line(each) for each in kept))

    def _install(self, before: BootSession, shell: Shell) -> bool:
        limit = self.update.timeout.total_seconds()
        for number, command in enumerate(self.update.commands, start=1):
            entry = self.checklist[f"{AFTER_UPDATE.name}/update/install/{number}"]
            script = (
                f"echo $(({round(limit)} * ${{METALLIZE_SLOWNESS:-1}})) >$METALLIZE_SCRATCH/limit\n"
                f"{URL}={quote(self.url)}; export {URL}\n{command}"
            )
            [seen] = before.observer.run(shell, [script], limit_seconds=limit + LOOK_SECONDS).observations
            result = judge_command(entry, command, seen, observed=shell.name)
            self.checklist.settle(result)
            if not result.holds:
                return False
        return True

    def _probes(self) -> list[str]:
        return [_digest(path) for path in self.update.keep]

    def _judge(self, after: BootSession, before: State) -> None:
        """The updated system against the one before, and against the new image."""
        shell = after.best_shell()
        if shell is None:
            return
        read = f"cat {_PLACE} && rm {_PLACE}"
        written, version, *kept = _looked(after, shell, [read, self.update.version_command, *self._probes()])
        entry, observed = after.entry, shell.name
        self.checklist.settle(judge_version(entry(_VERSION), before.version, _line(version), self.version, observed))
        self.checklist.settle(_judge_same(entry(_WRITTEN), before.token, _line(written), observed))
        for number, (was, now) in enumerate(zip(before.kept, kept, strict=True), start=1):
            self.checklist.settle(_judge_same(entry(f"update/keep/{number}"), was, _line(now), observed))

    def _conclude(self, after: BootSession) -> None:
        watch = after.guest.watch
        goes_on = after.entry(_GUEST)
        pending = watch.drain(Deadline.after(DRAIN_SECONDS * watch.slowness, "what may yet be a failure"))
        watch.check()
        faults = [each for each in watch.findings if each.severity is Severity.FAULT]
        if pending:
            self.checklist.settle(goes_on.unseen(f"waited for what may yet be a failure: {'; '.join(pending)}"))
            return
        claims = [_claim("guest", "no failure", f"{each.rule}: {each.cause}", holds=False) for each in faults]
        none = _claim("guest", "no failure", "none", holds=True)
        self.checklist.settle(goes_on.judged(*(claims or [none]), observed="console"))

    def _failed(self, failed: GuestFailed) -> None:
        finding = failed.finding
        goes_on = self.checklist[f"{AFTER_UPDATE.name}/{_GUEST}"]
        if self.checklist.is_settled(goes_on.id):
            return
        claim = _claim("guest", "no failure", f"{finding.rule}: {finding.cause}", holds=False)
        self.checklist.settle(goes_on.judged(claim, observed="console", note="\n".join(finding.context[-5:])))


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is known of the system before its update."""

    token: str
    """What was written to it."""
    version: str
    kept: tuple[str | None, ...]
    """Digests of what must be the same; None where there was no answer."""


def ask_version(session: BootSession, update: Update) -> str | None:
    """What the new image says of its version, on a machine that has never been another; None for no answer.

    Raises GuestFailed.
    """
    shell = session.best_shell()
    if shell is None:
        return None
    [seen] = _looked(session, shell, [update.version_command])
    return _line(seen)


def judge_version(entry: Entry, before: str, after: str | None, wanted: str | None, observed: str) -> Result:
    """The updated system's version is another than before, and the new image's; pure."""
    if after is None or wanted is None:
        who = "the updated system" if after is None else "the new image"
        return entry.unseen(f"asked {who} for its version: no answer", observed=observed)
    return entry.judged(
        _claim("version", f"other than {before}", after, holds=after != before),
        _claim("version", f"{wanted}, as the new image says", after, holds=after == wanted),
        observed=observed,
    )


def said_nothing(seen: Observation | None) -> bool:
    """Whether a command did not do what it was to do."""
    return seen is None or seen.status != 0


def _judge_same(entry: Entry, before: str | None, after: str | None, observed: str) -> Result:
    if before is None or after is None:
        when = "before" if before is None else "after"
        return entry.unseen(f"looked for it {when} the update: it is not there, or cannot be read", observed=observed)
    return entry.judged(_claim("content", before, after, holds=before == after), observed=observed)


def _digest(path: str) -> str:
    """A snippet that prints a digest of a file, or of all files of a folder with their names."""
    return (
        f"[ -e {quote(path)} ] || exit 1\n"
        f"find {quote(path)} \\( -type f -o -type l \\) | LC_ALL=C sort | while IFS= read -r each; do\n"
        '  if [ -L "$each" ]; then echo "$each $(readlink "$each")"\n'
        '  else cksum "$each" || echo "$each cannot be read"; fi\n'
        "done | cksum"
    )


def _looked(session: BootSession, shell: Shell, probes: Sequence[str]) -> list[Observation | None]:
    return list(session.observer.run(shell, probes, limit_seconds=LOOK_SECONDS * (1 + len(probes))).observations)


def _line(seen: Observation | None) -> str | None:
    """What a command printed, where it ended well and printed one line."""
    if seen is None or seen.status != 0:
        return None
    text = seen.stdout.strip()
    return text if text and "\n" not in text else None


def _first(update: Update) -> str:
    return update.version_command.strip().splitlines()[0]


def _claim(attribute: str, expected: str, actual: str, *, holds: bool) -> Claim:
    return Claim(attribute=attribute, expected=expected, actual=actual, holds=holds)
