"""One look at the system: what is asked of it, and what it answered as a value.

A look that was not answered is none of these values: no answer, an empty answer and `none` are three things.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metallize.model.kind import Observation, lines_of, whole_number

_BOOT_ID = "read -r id </proc/sys/kernel/random/boot_id && echo $id"
_STATE = """\
read -r comm </proc/1/comm && echo "init $comm" || exit 1
if [ -d /run/systemd/system ]; then
  s=${metallize_state:-$(systemctl is-system-running)}
  echo "state $s"
fi
echo "$s" >"$METALLIZE_SCRATCH/state"
"""
_UNLESS_RUNNING = 'read -r s <"$METALLIZE_SCRATCH/state"; [ "$s" = running ] && { echo end; exit 0; };'
_FAILED = (
    f"{_UNLESS_RUNNING} u=$(systemctl list-units --state=failed --plain --no-legend --no-pager) || exit 1; "
    '[ -z "$u" ] || echo "$u"; echo end'
)
_JOBS = (
    f'{_UNLESS_RUNNING} j=$(systemctl list-jobs --plain --no-legend --no-pager) || exit 1; [ -z "$j" ] || echo "$j"; '
    "echo end"
)
_SAY = """\
say() { journalctl -b --no-pager -o cat -n 2 "_SYSTEMD_UNIT=$1" 2>/dev/null | cut -c 1-300 |
  while IFS= read -r l; do echo "said $1 $l"; done; }
"""
"""What the programs of a unit said last, not what systemd says of it."""
_LAST_WORDS = f"""\
{_UNLESS_RUNNING}
{_SAY}
systemctl list-units --state=failed --plain --no-legend --no-pager | head -n 5 | while read -r u _; do say $u; done
echo end
"""
_STATES = "running,activating,deactivating,reloading,failed"
_RESTARTS = f"""\
[ -d /run/systemd/system ] || exit 1
{_SAY}
listed=$(systemctl list-units --type=service --state={_STATES} --plain --no-legend --no-pager) || exit 1
set --
for u in $listed; do case $u in *.service) set -- "$@" "$u" ;; esac; done
echo "services $#"
[ $# = 0 ] && exit 0
shown=$(systemctl show -p Id -p SubState -p Result -p NRestarts -- "$@") || exit 1
case $shown in *NRestarts=[1-9]*)
  printf '%s\\n' "$shown" | awk -v RS= '/NRestarts=[1-9]/ {{ gsub("\\n", " "); print "unit " $0 }}' || exit 1
  for u in $(printf '%s\\n' "$shown" | awk -v RS= '/NRestarts=[1-9]/' | sed -n 's/^Id=//p' | head -n 5); do say $u; done
esac
echo end
"""
"""Of all loaded services only those that run, or are about to: showing one costs an emulated guest 15 ms."""
_ROOT = """\
while read -r d m t o rest; do [ "$m" = / ] && root="$t $o"; done </proc/mounts; echo "$root"
for by in k i; do df -P$by / | { read -r heads; read -r line; echo "$line"; }; done
while read -r d m t o rest; do
  case $d in \\#*) ;; *) [ "$m" = / ] && echo "fstab $o" ;; esac
done </etc/fstab 2>/dev/null
echo end
"""
"""Type and options of what was mounted last on /, df's lines of blocks and inodes (POSIX format), fstab's options."""
PROBES = (_BOOT_ID, _STATE, _FAILED, _JOBS, _LAST_WORDS, _RESTARTS, _ROOT)
IN_ORDER = 5
"""The first so many of them go by what the one before has found."""

_FULL_SHARE = 0.001
_UUID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that was started again by itself, as systemd counts it."""

    restarts: int
    substate: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """The root filesystem: how it is mounted, how it should be, and whether there is room."""

    filesystem: str
    read_only: bool
    wanted_writable: bool
    """fstab(5) says so."""
    full: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look saw; None is what was not answered."""

    boot_id: str | None
    init: str | None
    state: str | None
    """As `systemctl is-system-running` has it; None too where there is no systemd."""
    failed: tuple[tuple[str, str], ...] | None
    """Units with their descriptions."""
    jobs: str | None
    said: Mapping[str, str] | None
    """What the programs of failed units said last, by the units' names."""
    services: int | None
    restarted: Mapping[str, Service]
    root: Root | None
    why: str
    """What the guest said where it did not answer."""


def read_look(observations: Sequence[Observation | None], problem: str = "") -> Look:
    """What PROBES printed as a value; pure."""
    boot_id, state, failed, jobs, said, restarts, root = observations
    words = _words(state)
    seen = _whole(restarts)
    services = next((line.removeprefix("services ") for line in seen or () if line.startswith("services ")), "")
    complaints = [item.stderr.strip() for item in observations if item is not None and item.stderr.strip()]
    return Look(
        boot_id=_boot_id(boot_id),
        init=words.get("init"),
        state=words.get("state") or None,
        failed=_units(_whole(failed)),
        jobs=None if (lines := _whole(jobs)) is None else "\n".join(lines),
        said=None if (lines := _whole(said)) is None else {**_last_words(lines), **_last_words(seen or ())},
        services=_count(services),
        restarted=_restarted(seen or ()),
        root=_root(_whole(root)),
        why=problem or (complaints[0].splitlines()[-1] if complaints else "the guest gave no answer"),
    )


def _boot_id(observation: Observation | None) -> str | None:
    text = observation.stdout.strip() if observation is not None and observation.status == 0 else ""
    return text if _UUID.fullmatch(text) else None


def _whole(observation: Observation | None) -> list[str] | None:
    """The lines of an answer that came to its end, without the mark; None for no answer, or half of one."""
    lines = observation.stdout.rstrip("\n").split("\n") if observation is not None else []
    if observation is None or observation.status != 0 or lines[-1] != "end":
        return None
    return lines[:-1]


def _words(observation: Observation | None) -> dict[str, str]:
    if observation is None or observation.status != 0:
        return {}
    return dict(line.split(" ", 1) for line in lines_of(observation.stdout) if " " in line)


def _units(lines: Sequence[str] | None) -> tuple[tuple[str, str], ...] | None:
    if lines is None:
        return None
    return tuple((words[0], " ".join(words[4:])) for line in lines if (words := line.split()))


def _last_words(lines: Sequence[str]) -> dict[str, str]:
    said: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("said ") and len(words := line.split(" ", 2)) == 3 and words[2].strip():  # noqa: PLR2004 - said UNIT WORDS
            said.setdefault(words[1], []).append(words[2].strip())
    return {unit: "; ".join(texts) for unit, texts in said.items()}


def _restarted(lines: Sequence[str]) -> dict[str, Service]:
    found = {}
    for line in lines:
        if line.startswith("unit "):
            fields = dict(word.split("=", 1) for word in line.split()[1:] if "=" in word)
            count = _count(fields.get("NRestarts", ""))
            if count is not None and fields.get("Id"):
                found[fields["Id"]] = Service(
                    restarts=count, substate=fields.get("SubState", ""), result=fields.get("Result", "")
                )
    return found


def _count(text: str) -> int | None:
    number = whole_number(text)
    return number if number is not None and number >= 0 else None


def _root(lines: Sequence[str] | None) -> Root | None:
    kind, _, options = (lines[0] if lines else "").partition(" ")
    if not lines or not options:
        return None
    # options may be left out of a line
    fstab = next((line.removeprefix("fstab ").split(",") for line in lines[3:] if line.startswith("fstab ")), None)
    full = ""
    for line, what in zip(lines[1:3], ("", " of inodes"), strict=False):
        fields = line.split()
        if len(fields) >= 4:  # noqa: PLR2004 - df's columns
            total, free = whole_number(fields[1]), whole_number(fields[3])
            if total is not None and free is not None and total > 0 and free <= total * _FULL_SHARE:
                full = full or f"{what}: {free} of {total} are free"
    return Root(
        filesystem=kind,
        read_only=not {"ro", "emergency_ro"}.isdisjoint(options.split(",")),
        wanted_writable=fstab is not None and "ro" not in fstab,
        full=full,
    )
