"""What the phases of an update share: its commands, run in the guest, and what must be the same after it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from metallize.guest import Shell
from metallize.model.kind import Claim, Observation
from metallize.model.report import Entry, Result
from metallize.model.update import URL, Update
from metallize.patience import UPDATE_LOOK as LOOK_SECONDS
from metallize.verify.checklist import Checklist
from metallize.verify.phases.groups import judge_command
from metallize.verify.session import BootSession

PLACE = "/var/tmp/metallize-update"  # noqa: S108 - in the guest, and in no other way writable by everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a machine says of itself; None where there was no answer."""

    token: str | None
    """What was written to it before."""
    version: str | None
    kept: tuple[str | None, ...]
    """Digests of what must be the same."""


def write_state(session: BootSession, shell: Shell, update: Update) -> tuple[State | None, str]:
    """Write to a machine what must be there after its update; where it cannot be, why. Raises GuestFailed."""
    token = secrets.token_hex(16)
    written, version, *kept = _look(session, shell, update, f"printf %s {token} >{PLACE} && sync {PLACE}")
    if written is None or written.status != 0:
        return None, "it cannot be written to"
    said = line_of(version)
    if said is None:
        return None, f"`{update.version_command.strip().splitlines()[0]}` says nothing"
    return State(token=token, version=said, kept=tuple(line_of(each) for each in kept)), ""


def read_state(session: BootSession, shell: Shell, update: Update, *, last: bool = False) -> State:
    """What is there of it now; the `last` to look takes it away. Raises GuestFailed."""
    read = f"cat {PLACE}" + (f" && rm {PLACE}" if last else "")
    written, version, *kept = _look(session, shell, update, read)
    return State(token=line_of(written), version=line_of(version), kept=tuple(line_of(each) for each in kept))


def settle_kept(
    checklist: Checklist, written: Entry, kept: Sequence[Entry], *, was: State, now: State, by: str
) -> None:
    """What was written before, and each of update.keep, must be the same; `by` is who has looked."""
    checklist.settle(judge_same(written, was.token, now.token, by))
    for entry, before, after in zip(kept, was.kept, now.kept, strict=True):
        checklist.settle(judge_same(entry, before, after, by))


def judge_same(entry: Entry, before: str | None, after: str | None, observed: str) -> Result:
    """Whether a content is what it was; pure."""
    if before is None or after is None:
        when = "before" if before is None else "after"
        return entry.unseen(f"looked for it {when} the update: it is not there, or cannot be read", observed=observed)
    claim = Claim(attribute="content", expected=before, actual=after, holds=before == after)
    return entry.judged(claim, observed=observed)


def install(
    session: BootSession, shell: Shell, update: Update, url: str, entries: Sequence[Entry]
) -> tuple[Result, ...]:
    """Run the update's commands, one after the other, to the first that fails. Raises GuestFailed."""
    results = []
    for entry, command in zip(entries, update.commands, strict=True):
        seen = ran(session, shell, update, url, command)
        results.append(judge_command(entry, command, seen, observed=shell.name))
        if not results[-1].holds:
            break
    return tuple(results)


def ran(session: BootSession, shell: Shell, update: Update, url: str, command: str) -> Observation | None:
    """What a command says that may take as long as an update's, and finds the files at this URL. Raises GuestFailed."""
    limit = update.timeout.total_seconds()
    script = (
        f"echo $(({round(limit)} * ${{METALLIZE_SLOWNESS:-1}})) >$METALLIZE_SCRATCH/limit\n"
        f"{URL}={quote(url)}; export {URL}\n{command}"
    )
    [seen] = session.observer.run(shell, [script], limit_seconds=limit + LOOK_SECONDS).observations
    return seen


def asked(session: BootSession, shell: Shell, probe: str) -> Observation | None:
    """What the guest answers to one question. Raises GuestFailed."""
    [seen] = session.observer.run(shell, [probe], limit_seconds=2 * LOOK_SECONDS).observations
    return seen


def line_of(seen: Observation | None) -> str | None:
    """What a command printed, where it ended well and printed one line."""
    if seen is None or seen.status != 0:
        return None
    text = seen.stdout.strip()
    return text if text and "\n" not in text else None


def _look(session: BootSession, shell: Shell, update: Update, first: str) -> tuple[Observation | None, ...]:
    probes = [first, update.version_command, *(digest_probe(path) for path in update.keep)]
    return session.observer.run(shell, probes, limit_seconds=LOOK_SECONDS * (1 + len(probes))).observations


def digest_probe(path: str) -> str:
    """A snippet that prints a digest of a file, or of all files of a folder with their names."""
    return (
        f"[ -e {quote(path)} ] || exit 1\n"
        f"find {quote(path)} \\( -type f -o -type l \\) | LC_ALL=C sort | while IFS= read -r each; do\n"
        '  if [ -L "$each" ]; then echo "$each $(readlink "$each")"\n'
        '  else cksum "$each" || echo "$each cannot be read"; fi\n'
        "done | cksum"
    )
