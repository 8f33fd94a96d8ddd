"""All probes of a boot in one script: one round trip, as root where that is possible, each bounded in time.

The script is handed to whatever shell is logged in. It turns into root (being it, `sudo -n`, or sudo with the
login's password), waits until the system has settled, runs each probe in a subshell and frames what it printed with
a boundary that nobody in the guest knows. What anybody sees is looked at while sudo takes the password.
"""

from __future__ import annotations

import base64
import math
import re
import secrets
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from metallize.model.kind import Observation

PROBE_SECONDS = 60
"""After so long in the guest a probe is killed, with what it started.

It goes before what it started, or it would take the end of that for an answer and go on.
One that sets itself a longer limit writes it, in seconds, to $METALLIZE_SCRATCH/limit.
"""

_SURVEY = "s"
"""What the name of a shared probe begins with."""

NOTHING_SEEN = Observation(status=0, stdout="", stderr="", seconds=0.0)
"""What is known of an assertion that needs no look at the guest."""

_SETTLE = """\
if [ -d /run/systemd/system ]; then
  metallize_state=$(systemctl is-system-running 2>/dev/null)
  case $metallize_state in starting|initializing)
    metallize_state=$(timeout {seconds} systemctl is-system-running --wait 2>/dev/null)
    [ -n "$metallize_state" ] || metallize_state=$(systemctl is-system-running 2>/dev/null) ;;
  esac
  n=0
  while [ $n -lt {seconds} ]; do
    case $metallize_state in starting|initializing) sleep 1 ;; *) break ;; esac
    metallize_state=$(systemctl is-system-running 2>/dev/null)
    read -r now rest </proc/uptime
    n=$((${{now%%.*}} - begun))
  done
fi
"""

_SCRIPT = """\
unset body secret
umask 077
export METALLIZE_AT="{boundary} at" METALLIZE_SLOWNESS={slowness}
export LC_ALL=C SYSTEMD_COLORS=0 SYSTEMD_PAGER= PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
for d in /run /dev/shm /tmp; do [ -w $d ] && break; done
d=$d/.metallize.$$
mkdir $d $d/beside || exit 9
export METALLIZE_SCRATCH=$d
trap 'rm -rf $d' EXIT
read -r begun rest </proc/uptime
{uid}
mark() {{ [ "$role" = anyone ] || echo "{boundary} $*"; }}
mark start $begun $uid
begun=${{begun%%.*}}
{settle}
read -r now rest </proc/uptime
mark settled $now
kin() {{ for c in $(cat /proc/$1/task/$1/children 2>/dev/null); do echo $c; kin $c; done; }}
guard() {{
  last=; n=0
  trap 'kill -9 $!; exit' TERM
  while sleep 1 & wait $!; do
    read -r i p <$METALLIZE_SCRATCH/now || [ -d $METALLIZE_SCRATCH ] || exit
    if [ "$i" = "$last" ]; then n=$((n + 1)); else last=$i; n=0; fi
    l=; read -r l <$METALLIZE_SCRATCH/limit; [ "${{l:-0}}" -gt {limit} ] || l={limit}
    if [ $n -ge $l ] && [ -n "$p" ]; then kill -9 $p $(kin $p); n=0; fi
  done
}}
lane() {{
  : >$METALLIZE_SCRATCH/now
  : >$METALLIZE_SCRATCH/limit
  guard >/dev/null 2>&1 &
  guard=$!
  $1
  : >$METALLIZE_SCRATCH/now
  kill $guard
  wait $guard
}}
probe() {{
  : >$METALLIZE_SCRATCH/limit
  read -r u0 rest </proc/uptime
  ( eval "$2" ) </dev/null 2>$METALLIZE_SCRATCH/e &
  p=$!
  echo "$1 $p" >$METALLIZE_SCRATCH/now
  wait $p
  s=$?
  read -r u1 rest </proc/uptime
  printf '\\n%s out %s %s %s %s\\n' {boundary} "$1" $s $u0 $u1
  [ -s $METALLIZE_SCRATCH/e ] && cat $METALLIZE_SCRATCH/e
  printf '\\n%s err %s\\n' {boundary} "$1"
}}
at() {{ printf '\n%s %s\n' "$METALLIZE_AT" "$1"; }}
exec 2>/dev/null
{lanes}
read -r now rest </proc/uptime
mark end $now
exit 0
"""
"""What is done by the shell itself costs next to nothing; a program, in an emulated guest, a tenth of a second."""

_ONE_LANE = """\
each() {{
{probes}
}}
lane each
"""
_TWO_LANES = """\
take() {{
  set -C
  true >$d/taken.$1
  taken=$?
  set +C
  [ $taken = 0 ] || ! [ -e $d/taken.$1 ]
}}
anyone() {{
{rootless}
}}
beside() {{
[ "$role" = rest ] || anyone
{beside}
}}
each() {{
{probes}
beside
}}
if [ "$role" = anyone ]; then lane anyone
else
  ( METALLIZE_SCRATCH=$d/beside; lane beside ) >$d/out &
  beside=$!
  lane each
  wait $beside
  cat $d/out
fi
"""
"""Most guests have two processors: either lane takes the next of what may run beside others, once it is free for that.

What those print is short, and so waits in memory for the other lane's end. A file that is there is not made again
(`set -C`): that takes no program. `true`, not `:`, whose redirection would end the shell where it fails. Where it
cannot be made, both lanes look.
"""

_UID = """\
uid=
while read -r key real uid rest; do [ "$key" = Uid: ] && break; done </proc/self/status
[ "$key" = Uid: ] || uid=$(id -u)
"""

_AS_ROOT = """\
body={body}
secret={secret}
script() {{ printf '%s\\n' {boundary} role={rest} "$body"; }}
skip='while IFS= read -r line; do [ "$line" = {boundary} ] && exec sh; done'
{uid}
role=
as_root() {{
  if [ -n "$secret" ]; then {{ printf %s "$secret" | base64 -d; script; }} | sudo -S -p '' sh -c "$skip"
  else script | sudo -n sh -c "$skip"
  fi || script | sh -c "$skip"
}}
if [ "$uid" = 0 ] || ! command -v sudo >/dev/null; then eval "$body"
else {as_root}
fi
"""
"""sudo reads the password where it asks for one; the script begins after the boundary, whether it was read or not."""

_BESIDE_SUDO = '( role=anyone; eval "$body" ) | { as_root; cat; }'
"""What the first prints waits in the pipe for the other's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedProbe:
    """One snippet in place of several probes: what it prints after `at KEY` is that probe's output."""

    script: str
    numbers: Mapping[str, int]
    """Of each key, the probe whose place it takes."""
    rootless: bool = False
    """Whether it sees the same without root's rights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A script, and what is needed to read its output."""

    script: str
    boundary: str
    probes: int
    empty: frozenset[int] = frozenset()
    """Probes of what needs no look at the guest: they are not in the script, and have seen nothing."""
    shared: tuple[Mapping[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What the probes printed, None for those that never answered, and how the system stood."""

    observations: tuple[Observation | None, ...]
    as_root: bool
    probing_seconds: float
    """From when the system had settled to the script's end; 0 where that never came."""
    complete: bool
    problem: str = ""
    """Why not, where the shell said so."""


def make_batch(
    probes: Sequence[str],
    *,
    password: str | None,
    settle_seconds: float = 0,
    limit: int = PROBE_SECONDS,
    slowness: float = 1.0,
    shared: Sequence[SharedProbe] = (),
    beside: Collection[int] = (),
) -> Batch:
    """The script that runs these snippets; pure but for the boundary, which is random.

    Those of `shared`, and where there are some those whose numbers are in `beside`, run beside the others, which keep
    their order; those of `shared` that need no root run besides while sudo takes the password.
    Probes that set themselves a limit stretch it by `slowness`, rounded up.
    """
    boundary = f"mz-{secrets.token_hex(16)}"
    body = _SCRIPT.format(
        boundary=boundary,
        settle=_SETTLE.format(seconds=max(1, round(settle_seconds))) if settle_seconds else "",
        limit=limit,
        slowness=max(1, math.ceil(slowness)),
        lanes=_lanes(probes, shared, beside),
        uid=_UID,
    )
    secret = base64.b64encode(f"{password}\n".encode()).decode() if password is not None else "''"
    early = any(each.rootless for each in shared)
    return Batch(
        script=_AS_ROOT.format(
            body=shlex.quote(body),
            secret=secret,
            boundary=boundary,
            uid=_UID,
            rest="rest" if early else "",
            as_root=_BESIDE_SUDO if early else "as_root",
        ),
        boundary=boundary,
        probes=len(probes),
        empty=frozenset(number for number, text in enumerate(probes) if not text),
        shared=tuple(each.numbers for each in shared),
    )


def _lanes(probes: Sequence[str], shared: Sequence[SharedProbe], beside: Collection[int]) -> str:
    """Shell text that runs all of them; what each prints goes by its number, a survey's after `s`."""
    surveys = [(f"{_SURVEY}{index}", each) for index, each in enumerate(shared)]
    alone = _alone(probes, shared)
    if not shared:
        return _ONE_LANE.format(probes=_calls("probe", [(str(number), text) for number, text in alone]))
    return _TWO_LANES.format(
        rootless=_calls("take", [(name, each.script) for name, each in surveys if each.rootless]),
        beside=_calls(
            "take",
            [(name, each.script) for name, each in surveys if not each.rootless]
            + [(str(number), text) for number, text in alone if number in beside],
        ),
        probes=_calls("probe", [(str(number), text) for number, text in alone if number not in beside]),
    )


def _calls(how: str, snippets: Sequence[tuple[str, str]]) -> str:
    """Shell text: `probe` runs a snippet, `take` does so where nobody else has begun it."""
    before = {"probe": "", "take": "take {name} && "}[how]
    lines = [f"{before.format(name=name)}probe {name} {shlex.quote(script)}" for name, script in snippets]
    return "\n".join(lines) or ":"


def _alone(probes: Sequence[str], shared: Sequence[SharedProbe]) -> list[tuple[int, str]]:
    covered = {number for each in shared for number in each.numbers.values()}
    return [(number, text) for number, text in enumerate(probes) if text and number not in covered]


def read_batch(batch: Batch, stdout: bytes) -> BatchResult:
    """Take a batch's output apart; pure."""
    mark = re.escape(batch.boundary.encode())
    start = re.search(rb"^%b start (\d{1,12}(?:\.\d{1,9})?) (\d+)\n" % mark, stdout, re.MULTILINE)
    settled = re.search(rb"^%b settled (\d{1,12}(?:\.\d{1,9})?)\n" % mark, stdout, re.MULTILINE)
    found = dict.fromkeys(batch.empty, NOTHING_SEEN) if start is not None else {}
    ended = re.search(rb"^%b end (\d{1,12}(?:\.\d{1,9})?)$" % mark, stdout, re.MULTILINE)
    position = settled.end() if settled else 0
    for match in re.finditer(
        rb"\n%b out (s?)(\d{1,6}) (\d{1,3}) (\d{1,12}(?:\.\d{1,9})?) (\d{1,12}(?:\.\d{1,9})?)\n" % mark, stdout
    ):
        number = int(match[2])
        if match[1] and number >= len(batch.shared):
            continue  # nobody asked for it
        end = stdout.find(b"\n%b err %b%d\n" % (batch.boundary.encode(), match[1], number), match.end() - 1)
        if end == -1:
            break
        seen = Observation(
            status=int(match[3]),
            stdout=stdout[position : match.start()].decode(errors="replace"),
            stderr=stdout[match.end() : max(end, match.end())].decode(errors="replace"),
            seconds=round(float(match[5]) - float(match[4]), 3),
        )
        found |= _apart(seen, batch.shared[number], batch.boundary) if match[1] else {number: seen}
        position = stdout.index(b"\n", end + 1) + 1
    return BatchResult(
        observations=tuple(found.get(number) for number in range(batch.probes)),
        as_root=start is not None and start[2] == b"0",
        probing_seconds=float(ended[1]) - float(settled[1]) if settled and ended else 0.0,
        complete=ended is not None,
    )


def _apart(seen: Observation, numbers: Mapping[str, int], boundary: str) -> dict[int, Observation]:
    """What a shared probe saw of each; nothing where it did not come to its end."""
    _, *parts = re.split(rf"(?:^|\n){boundary} at (.*)\n", seen.stdout)
    texts: dict[str, list[str]] = {}
    for key, text in zip(parts[::2], parts[1::2], strict=True) if seen.status == 0 else ():
        texts.setdefault(key, []).append(text)
    seconds = round(seen.seconds / len(numbers), 3)
    return {
        number: replace(seen, stdout="\n".join(texts[key]), seconds=seconds)
        for key, number in numbers.items()
        if key in texts
    }
