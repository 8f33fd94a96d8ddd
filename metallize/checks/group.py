"""group: a group and its id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_existing
from metallize.checks.decoding import ExpectedBool, ExpectedNumber
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.checks.probing import entries
from metallize.model.kind import ResourceOptions, lines_of


class GroupOptions(ResourceOptions):
    """The attributes of one group."""

    groupname: Annotated[str | None, Field(description="the group, where the key is only a label")] = None
    exists: Annotated[ExpectedBool, Field(description="the group is there")]
    gid: ExpectedNumber | None = None


def _refuse(resource: str, options: GroupOptions) -> str | None:
    name = options.groupname or resource
    return f"`{name}` is no name of a group" if not name or name.startswith("-") or ":" in name else None


def _observe(resource: str, options: GroupOptions) -> str:
    name = quote(options.groupname or resource)
    return f"""n={name}
{{ getent group "$n" || cat /etc/group; }} 2>/dev/null | while IFS= read -r l; do
  case $l in "$n":*) echo "group $l"; break;; esac
done
echo done"""


def _together_key(resource: str, options: GroupOptions) -> str | None:
    return options.groupname or resource


def _observe_together(groups: Sequence[tuple[str, GroupOptions]]) -> str:
    return entries("group", [name for name, _ in groups])


def _compare(resource: str, options: GroupOptions, observation: Observation) -> Iterator[Claim]:
    lines = lines_of(observation.stdout)
    entry = next((line.removeprefix("group ").split(":") for line in lines if line.startswith("group ")), [])
    unseen = Unseen(reason=observation.stderr.strip() or "the probe did not finish")
    actual = entry[:1] == [options.groupname or resource] if "done" in lines else unseen
    _, _, gid, *_ = [*entry, "", "", ""]
    yield from judge_existing(
        Attribute(name="exists", expected=options.exists, actual=actual),
        (Attribute(name="gid", expected=options.gid, actual=gid),),
    )


KIND = ResourceKind(
    name="group",
    summary="a group exists, with its id",
    options=GroupOptions,
    example="sudo:\n  exists: true\n  gid: 27\n",
    observe=_observe,
    compare=_compare,
    together=Together(key=_together_key, observe=_observe_together, rootless=True),
    refusal=_refuse,
)
