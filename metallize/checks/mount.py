"""mount: what is mounted where, with which options, and how full it is, from /proc/self/mountinfo."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_existing
from metallize.checks.decoding import Expected, ExpectedBool, ExpectedNumber
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.checks.probing import limited, patience
from metallize.model.kind import Milliseconds, ResourceOptions, lines_of, whole_number

_DEFAULT_TIMEOUT = 1000
_FOUND_OR_NOT = "[ $? -le 1 ] || exit 1"
"""After grep(1): another status says that it could not look."""


class MountOptions(ResourceOptions):
    """The attributes of one mount; its key is the mount point."""

    mountpoint: Annotated[str | None, Field(description="the mount point, where the key is only a label")] = None
    exists: Annotated[ExpectedBool, Field(description="something is mounted there")]
    opts: Annotated[Expected | None, Field(description="options of the mount, like rw and noatime")] = None
    vfs_opts: Annotated[Expected | None, Field(alias="vfs-opts", description="options of the filesystem")] = None
    source: Annotated[Expected | None, Field(description="the device")] = None
    filesystem: Annotated[Expected | None, Field(description="its type: ext4, overlay, ...")] = None
    usage: Annotated[ExpectedNumber | None, Field(description="blocks in use, in percent")] = None
    timeout: Annotated[Milliseconds, Field(description="milliseconds, for usage: a dead server answers never")] = (
        _DEFAULT_TIMEOUT
    )


def _refuse(resource: str, options: MountOptions) -> str | None:
    point = options.mountpoint or resource
    if not point.startswith("/"):
        return "a mount point is an absolute path"
    return "a path holds no NUL byte" if "\0" in point else None


def _point(resource: str, options: MountOptions) -> str:
    point = options.mountpoint or resource
    return point.rstrip("/") or "/"


def _escaped(path: str) -> str:
    """proc(5): space, tab, line break and backslash are octal in mountinfo."""
    return re.sub(r"[ \t\n\\]", lambda match: f"\\{ord(match[0]):03o}", path)


def _observe(resource: str, options: MountOptions) -> str:
    point = _point(resource, options)
    usage = ""
    if options.usage is not None:
        limit = options.timeout or _DEFAULT_TIMEOUT
        usage = f"{patience(limit)}{limited(limit)} stat -f -c 'blocks %b %f' {quote(point)}\n"
    return f"""m=$(grep -F -e {quote(f" {_escaped(point)} ")} /proc/self/mountinfo); {_FOUND_OR_NOT}
printf '%s\\n' "$m"
{usage}echo done"""


def _together_key(resource: str, options: MountOptions) -> str | None:
    return _point(resource, options) if options.usage is None else None


def _observe_together(mounts: Sequence[tuple[str, MountOptions]]) -> str:
    points = [point for point, _ in mounts]
    patterns = " ".join(f"-e {quote(f' {point} ')}" for point in points)
    return f"""m=$(grep -F {patterns} /proc/self/mountinfo); {_FOUND_OR_NOT}
for n in {" ".join(points)}; do at "$n"; echo "$m"; echo done; done
:"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mounted:
    options: tuple[str, ...]
    filesystem: str
    source: str
    super_options: tuple[str, ...]


def _mounted(stdout: str, point: str) -> _Mounted | None:
    """The mount that is seen at a point: the last one, which lies on top of the others."""
    found = None
    for line in lines_of(stdout):
        head, dash, tail = line.partition(" - ")
        left, right = head.split(" "), tail.split(" ")
        if dash and len(left) > 5 and len(right) > 2 and left[4] == _escaped(point):  # noqa: PLR2004 - proc(5)'s columns
            found = _Mounted(
                options=tuple(dict.fromkeys(left[5].split(","))),
                filesystem=right[0],
                source=re.sub(r"\\([0-3][0-7]{2})", lambda match: chr(int(match[1], 8)), right[1]),
                super_options=tuple(right[2].split(",")),
            )
    return found


def _usage(stdout: str) -> int | Unseen:
    """goss: the share of blocks that are not free, rounded to whole percent."""
    match = re.search(r"^blocks (\S+) (\S+)$", stdout, re.MULTILINE)
    total, free = (whole_number(match[1]), whole_number(match[2])) if match is not None else (None, None)
    if total is None or free is None or not 0 <= free <= total:
        return Unseen(reason="stat -f told no number of blocks")
    return int((1 - free / total) * 100 + 0.5) if total else Unseen(reason="the filesystem has no blocks")


def _compare(resource: str, options: MountOptions, observation: Observation) -> Iterator[Claim]:
    found = _mounted(observation.stdout, _point(resource, options))
    finished = "done" in lines_of(observation.stdout)
    unseen = Unseen(reason=observation.stderr.strip() or "the probe did not finish")
    yield from judge_existing(
        Attribute(name="exists", expected=options.exists, actual=found is not None if finished else unseen),
        (
            Attribute(name="opts", expected=options.opts, actual=found.options if found else ()),
            Attribute(name="vfs-opts", expected=options.vfs_opts, actual=found.super_options if found else ()),
            Attribute(name="source", expected=options.source, actual=found.source if found else ""),
            Attribute(name="filesystem", expected=options.filesystem, actual=found.filesystem if found else ""),
            Attribute(name="usage", expected=options.usage, actual=_usage(observation.stdout)),
        ),
    )


KIND = ResourceKind(
    name="mount",
    summary="what is mounted at a folder: filesystem, source, options, usage",
    options=MountOptions,
    example="/:\n  exists: true\n  opts: [rw]\n  usage: {lt: 95}\n",
    observe=_observe,
    compare=_compare,
    together=Together(key=_together_key, observe=_observe_together, rootless=True),
    refusal=_refuse,
)
