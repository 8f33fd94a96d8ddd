"""process: whether a program runs, by the name in /proc/PID/comm."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_all
from metallize.checks.decoding import ExpectedBool
from metallize.checks.kind import Claim, Observation, ResourceKind
from metallize.model.kind import ResourceOptions, lines_of

_COMM_LENGTH = 15
"""proc(5): comm is cut to TASK_COMM_LEN - 1 bytes."""


class ProcessOptions(ResourceOptions):
    """The attributes of one process; its key is the program's name."""

    comm: Annotated[str | None, Field(description="the program, where the key is only a label")] = None
    running: Annotated[ExpectedBool, Field(description="at least one is running")]


def _refuse(resource: str, options: ProcessOptions) -> str | None:
    name = options.comm or resource
    return "a program's name is one line" if not name or "\n" in name or "\0" in name else None


_LOOK = """\
parent() { q=; while read -r k v; do [ "$k" = PPid: ] && { q=$v; break; }; done <"/proc/$1/status"; }
ours=" $$ " b=$$
while parent $b; [ "${q:-0}" -gt 1 ]; do
  l=; IFS= read -r l <"/proc/$b/stat"
  c=; IFS= read -r c <"/proc/$q/comm"
  set -- ${l##*) }
  [ "${4:-}" = "$b" ] && [ "$c" != sudo ] && break
  ours="$ours$q " b=$q
done
IFS= read -r c </proc/1/comm || exit 1
for d in /proc/[0-9]*; do
  c=; IFS= read -r c <"$d/comm" || continue
  [ "$c" = "$n" ] || continue
  l=; IFS= read -r l <"$d/stat"
  case ${l##*) } in [RSDIPtTW]*) ;; *) continue ;; esac
  b=${d#/proc/}
  while :; do
    case $ours in *" $b "*) continue 2 ;; esac
    parent $b
    [ "$q" ] || continue 2
    [ "$q" -gt 1 ] || break
    b=$q
  done
  b=${d#/proc/}
  [ "$n" = "$w" ] && { echo "pid $b"; continue; }
  e=$(readlink "$d/exe"); e=${e% (deleted)}
  a=$(tr '\\000' '\\n' <"$d/cmdline" | head -n 3)
  case "
/$e
$a
" in
    *"/$w
"*|*"
$w
"*) echo "pid $b" ;;
    *) case ${e##*/} in "$n"*) ;; *) echo "like $b ${e##*/}" ;; esac ;;
  esac
done
echo done"""
"""What looks is not what is looked for: not the shell that does, nor what hands it its script (sudo, up to the first
shell of the session), nor whatever these have started. Nothing is started for the look, but for a long name. What ends
meanwhile does not count, nor does a zombie, which has ended. Where the kernel cuts the name, the whole one is looked
for in the program's file and in the first words of its command line. Who may not see process 1 may not see others
either (hidepid).
"""


def _observe(resource: str, options: ProcessOptions) -> str:
    whole = options.comm or resource
    name = whole.encode()[:_COMM_LENGTH].decode("utf-8", "ignore")
    return f"exec 2>/dev/null\nn={quote(name)} w={quote(whole)}\n{_LOOK}"


def _compare(_resource: str, options: ProcessOptions, observation: Observation) -> Iterator[Claim]:
    lines = lines_of(observation.stdout)
    found = any(line.startswith("pid ") for line in lines)
    like = next((line.split(" ", 2)[2:] for line in lines if line.startswith("like ")), None)
    running: bool | Unseen = found
    if "done" not in lines:
        running = Unseen(reason=observation.stderr.strip() or "the processes of others could not be seen")
    elif not found and like is not None:
        # the kernel keeps 15 bytes of a name
        other = "".join(like) or "a program"
        running = Unseen(reason=f"{other} runs under a name that begins alike, and proc(5) has no more of it")
    yield from judge_all((Attribute(name="running", expected=options.running, actual=running),))


KIND = ResourceKind(
    name="process",
    summary="a program is running",
    options=ProcessOptions,
    example="systemd-journald:\n  running: true\n",
    observe=_observe,
    compare=_compare,
    refusal=_refuse,
)
