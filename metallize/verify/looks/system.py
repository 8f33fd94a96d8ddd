"""What the system says of itself, judged: its init, its state, units that failed or come back, its root filesystem."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from metallize.model.boot import Init
from metallize.model.kind import Claim
from metallize.model.report import Entry, Result
from metallize.verify.checklist import Turn
from metallize.verify.looks.look import Look, Root, Service

MANY_RESTARTS = 3
"""A service that waits for another may need a second start; this often is a loop."""
_COMES_BACK = re.compile(r"getty@")
"""A getty is started again after each logout."""
_ENTRIES = {
    "init": ("systemd runs the system", "system"),
    "units": ("no unit has failed", "unit"),
    "state": ("system is running", "system"),
    "restarts": ("no service is started again and again", "unit"),
    "root": ("the root filesystem is mounted as it must be", "system"),
}


def plan(turn: Turn, *, rest: bool = False) -> tuple[Entry, ...]:
    """The entries of one look: of the first one, or of the one at the end of the boot."""
    phase = "rest" if rest else "system"
    return tuple(
        turn.entry(f"{phase}/{name}", f"at the end: {title}" if rest else title, kind)
        for name, (title, kind) in _ENTRIES.items()
    )


def judge_look(
    entries: Mapping[str, Entry],
    look: Look,
    *,
    init: Init,
    observed: str,
    allows: Callable[[str], bool],
    first: Look | None = None,
) -> tuple[Result, ...]:
    """The results of the `entries` of one look, by their names; `first` is the look before it. Pure."""
    results = [_judge_init(entries["init"], look, init, observed)]
    if init is Init.OTHER:
        why = "boot.init says that it is not systemd that runs the system"
        results += [entries[name].skipped(why) for name in ("units", "state", "restarts")]
    else:
        root = why_root(look.root)
        results += [
            _judge_units(entries["units"], look, observed, allows, root),
            _judge_state(entries["state"], look, observed, allows, root),
            _judge_restarts(entries["restarts"], look, observed, first),
        ]
    results.append(_judge_root(entries["root"], look, observed, first))
    return tuple(results)


def why_root(root: Root | None) -> str:
    """What is wrong with the root filesystem and makes units fail, in a few words; empty where nothing is. Pure."""
    if root is None:
        return ""
    if root.read_only:
        return f"the root filesystem ({root.filesystem}) is mounted read-only"
    return f"the root filesystem ({root.filesystem}) is full{root.full}" if root.full else ""


def explain_jobs(listed: str) -> str:
    """Systemctl list-jobs in words: what still runs, and how many jobs wait for it; pure."""
    jobs = [line.split() for line in listed.splitlines() if len(line.split()) >= 4]  # noqa: PLR2004 - job unit type state
    running = [f"{unit} ({kind} job)" for _, unit, kind, state, *_ in jobs if state == "running"]
    waiting = [unit for _, unit, _, state, *_ in jobs if state == "waiting"]
    if not jobs:
        return "no job is left: see the journal"
    said = f"still running: {', '.join(running[:5])}" if running else "no job runs"
    return said + (f"; waiting: {', '.join(waiting[:5])}{' ...' if len(waiting) > 5 else ''}" if waiting else "")  # noqa: PLR2004 - a line


def _judge_init(entry: Entry, look: Look, init: Init, observed: str) -> Result:
    if look.init is None:
        return entry.unseen(f"asked for the name of process 1: {look.why}", observed=observed)
    if look.boot_id is None:
        why = f"asked for /proc/sys/kernel/random/boot_id, to know one boot from another: {look.why}"
        return entry.unseen(why, observed=observed)
    is_systemd = look.init == "systemd" and (look.state is not None or init is not Init.SYSTEMD)
    holds = is_systemd if init is Init.SYSTEMD else look.init != "systemd"
    note = "" if holds else "boot.init (--init) says which init the image has: systemd, or other"
    if look.init == "systemd" and not holds and init is Init.SYSTEMD:
        return entry.unseen(
            f"process 1 is systemd, and `systemctl` does not say how it is: {look.why}", observed=observed
        )
    expected = "systemd" if init is Init.SYSTEMD else "an init that is not systemd"
    return entry.judged(
        Claim(attribute="process 1", expected=expected, actual=look.init, holds=holds, note=note), observed=observed
    )


def _judge_units(entry: Entry, look: Look, observed: str, allows: Callable[[str], bool], root: str) -> Result:
    if look.failed is None or look.said is None:
        return entry.unseen(f"asked systemctl for units that failed: {look.why}", observed=observed)
    if look.state is None:
        return entry.unseen(f"asked systemctl for its state first: {look.why}", observed=observed)
    said = look.said
    wrong = [(unit, words) for unit, words in look.failed if not allows(unit)]
    claims = [
        Claim(
            attribute=f"unit {unit}",
            expected="not failed",
            actual="failed",
            holds=False,
            note=": ".join(text for text in (words, said.get(unit, "")) if text),
        )
        for unit, words in wrong
    ]
    none = Claim(attribute="failed units", expected="none", actual="none that is not allowed", holds=True)
    return entry.judged(*(claims or [none]), observed=observed, note=root if claims else "")


def _judge_state(entry: Entry, look: Look, observed: str, allows: Callable[[str], bool], root: str) -> Result:
    """`degraded` holds where console.allow names every unit that failed, and there is one."""
    if look.state in (None, "offline", "unknown") or look.failed is None or look.jobs is None:
        said = f"it said `{look.state}`" if look.state in ("offline", "unknown") else look.why
        return entry.unseen(f"asked `systemctl is-system-running`: {said}", observed=observed)
    names = [unit for unit, _ in look.failed or ()]
    forgiven = bool(names) and all(allows(unit) for unit in names)
    holds = look.state == "running" or (look.state == "degraded" and forgiven)
    why = ""
    if look.state == "degraded" and not holds:
        why = f"by {', '.join(names)}" if names else "it lists no unit that failed"
    elif not holds:
        why = explain_jobs(look.jobs)
    claim = Claim(attribute="state", expected="running", actual=str(look.state), holds=holds, note=why)
    if holds and look.state == "degraded":
        return entry.judged(claim, observed=observed, note=f"degraded by {', '.join(names)}, which console.allow names")
    return entry.judged(claim, observed=observed, note="" if holds or names else root)


def _judge_restarts(entry: Entry, look: Look, observed: str, first: Look | None) -> Result:
    """A loop by its count, or in a second look one that has come back since the first."""
    if not look.services:
        return entry.unseen(f"asked systemctl for its services and their restarts: {look.why}", observed=observed)
    claims = []
    for name, service in look.restarted.items():
        before = first.restarted.get(name) if first is not None else None
        again = first is not None and service.restarts > (before.restarts if before is not None else 0)
        if _COMES_BACK.search(name) or not (_loops(service) or again):
            continue
        said = (look.said or {}).get(name, "")
        how = "since the first look " if again else ""
        note = f"it ended and was started again {how}({service.substate}, {service.result})" + (
            f": {said}" if said else ""
        )
        claims.append(
            Claim(attribute=f"unit {name}", expected="no restart", actual=f"{service.restarts}", holds=False, note=note)
        )
    none = Claim(attribute="restarts", expected="none", actual="none that is a loop", holds=True)
    return entry.judged(*(claims or [none]), observed=observed)


def _judge_root(entry: Entry, look: Look, observed: str, first: Look | None) -> Result:
    if look.root is None:
        return entry.unseen(f"asked /proc/mounts how / is mounted: {look.why}", observed=observed)
    was_writable = first is not None and first.root is not None and not first.root.read_only
    wanted = look.root.wanted_writable or was_writable
    actual = "read-only" if look.root.read_only else "writable"
    note = ""
    if wanted and look.root.read_only:
        note = (
            "it was writable before: see dmesg.txt for why the kernel gave it up" if was_writable else "fstab says rw"
        )
    claim = Claim(
        attribute="mounted",
        expected="writable" if wanted else "read-only or writable",
        actual=f"{actual} ({look.root.filesystem})",
        holds=not (wanted and look.root.read_only),
        note=note,
    )
    return entry.judged(claim, observed=observed)


def _loops(service: Service) -> bool:
    waits = service.substate == "auto-restart" and service.result not in ("success", "")
    return waits or service.restarts >= MANY_RESTARTS
