"""user: an account, its ids, groups, home and shell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_existing
from metallize.checks.decoding import Expected, ExpectedBool, ExpectedNumber
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.checks.probing import entries
from metallize.model.kind import ResourceOptions, lines_of

_FIELDS = 7


class UserOptions(ResourceOptions):
    """The attributes of one user."""

    username: Annotated[str | None, Field(description="the user, where the key is only a label")] = None
    exists: Annotated[ExpectedBool, Field(description="the account is there")]
    uid: ExpectedNumber | None = None
    gid: Annotated[ExpectedNumber | None, Field(description="id of the primary group")] = None
    groups: Annotated[Expected | None, Field(description="names of all groups, the primary one included")] = None
    home: Expected | None = None
    shell: Expected | None = None


def _refuse(resource: str, options: UserOptions) -> str | None:
    name = options.username or resource
    return f"`{name}` is no name of a user" if not name or name.startswith("-") or ":" in name else None


def _observe(resource: str, options: UserOptions) -> str:
    name = quote(options.username or resource)
    groups = ""
    if options.groups is not None:
        groups = 'g=$(id -Gn "$n" 2>/dev/null) && { for g in $g; do echo "group $g"; done; echo grouped; }\n'
    return f"""n={name}
{{ getent passwd "$n" || cat /etc/passwd; }} 2>/dev/null | while IFS= read -r l; do
  case $l in "$n":*) echo "passwd $l"; break;; esac
done
{groups}echo done"""


def _together_key(resource: str, options: UserOptions) -> str | None:
    return (options.username or resource) if options.groups is None else None


def _observe_together(users: Sequence[tuple[str, UserOptions]]) -> str:
    return entries("passwd", [name for name, _ in users])


def _compare(resource: str, options: UserOptions, observation: Observation) -> Iterator[Claim]:
    lines = lines_of(observation.stdout)
    entry = next((line.removeprefix("passwd ").split(":") for line in lines if line.startswith("passwd ")), [])
    groups = tuple(sorted(line.removeprefix("group ") for line in lines if line.startswith("group ")))
    grouped = groups if "grouped" in lines else Unseen(reason="`id` did not tell the groups")
    unseen = Unseen(reason=observation.stderr.strip() or "the probe did not finish")
    found = len(entry) >= _FIELDS and entry[0] == (options.username or resource)
    actual = found if "done" in lines else unseen
    _, _, uid, gid, _, home, shell, *_ = [*entry, *[""] * _FIELDS]
    yield from judge_existing(
        Attribute(name="exists", expected=options.exists, actual=actual),
        (
            Attribute(name="uid", expected=options.uid, actual=uid),
            Attribute(name="gid", expected=options.gid, actual=gid),
            Attribute(name="home", expected=options.home, actual=home),
            Attribute(name="groups", expected=options.groups, actual=grouped),
            Attribute(name="shell", expected=options.shell, actual=shell),
        ),
    )


KIND = ResourceKind(
    name="user",
    summary="a user exists, with ids, groups, home and shell",
    options=UserOptions,
    example="root:\n  exists: true\n  uid: 0\n  home: /root\n  groups: [root]\n",
    observe=_observe,
    compare=_compare,
    together=Together(key=_together_key, observe=_observe_together, rootless=True),
    refusal=_refuse,
)
