"""file: whether a file, folder or link exists, whose it is, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Annotated

from pydantic import Field, PlainValidator

from metallize.checks.claims import CONTENTS, Attribute, Fields, Unseen, judge_existing, read_fields
from metallize.checks.decoding import (
    Expected,
    ExpectedBool,
    ExpectedLines,
    ExpectedMode,
    ExpectedNumber,
    decode_typed,
    value_schema,
)
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.checks.matchers import Matcher
from metallize.checks.typed import FILE_TYPES, checksum, one_of
from metallize.model.kind import ResourceOptions

_SUMS = ("md5", "sha256", "sha512")
FileType = Annotated[
    Matcher, PlainValidator(decode_typed(one_of("a type of file", FILE_TYPES))), value_schema("its type", "string")
]
Md5 = Annotated[Matcher, PlainValidator(decode_typed(checksum("md5", 32))), value_schema("checksum", "string")]
Sha256 = Annotated[Matcher, PlainValidator(decode_typed(checksum("sha256", 64))), value_schema("checksum", "string")]
Sha512 = Annotated[Matcher, PlainValidator(decode_typed(checksum("sha512", 128))), value_schema("checksum", "string")]


class FileOptions(ResourceOptions):
    """The attributes of one file; its key is its path."""

    path: Annotated[str | None, Field(description="the path, where the key is only a label")] = None
    exists: Annotated[ExpectedBool, Field(description="it is there; a dangling link is there too")]
    mode: Annotated[ExpectedMode | None, Field(description='permissions, like "0644"')] = None
    size: Annotated[ExpectedNumber | None, Field(description="bytes")] = None
    owner: Annotated[Expected | None, Field(description="user name")] = None
    uid: Annotated[ExpectedNumber | None, Field(description="user id")] = None
    group: Annotated[Expected | None, Field(description="group name")] = None
    gid: Annotated[ExpectedNumber | None, Field(description="group id")] = None
    filetype: Annotated[
        FileType | None,
        Field(description="file, directory, symlink, socket, pipe, character-device or block-device"),
    ] = None
    linked_to: Annotated[Expected | None, Field(alias="linked-to", description="what the link says")] = None
    contents: Annotated[ExpectedLines | None, Field(description="patterns, or the whole text")] = None
    contains: Annotated[ExpectedLines | None, Field(description="goss 0.3's name of contents")] = None
    md5: Annotated[Md5 | None, Field(description="checksum")] = None
    sha256: Annotated[Sha256 | None, Field(description="checksum")] = None
    sha512: Annotated[Sha512 | None, Field(description="checksum")] = None


def _path(resource: str, options: FileOptions) -> str:
    return options.path or resource


def _refuse(resource: str, options: FileOptions) -> str | None:
    path = _path(resource, options)
    if not path.startswith(("/", "~")):
        return "a file is named by its absolute path, or by ~user/..."
    return "a path holds no NUL byte" if "\0" in path else None


def _variable(path: str) -> str:
    """Shell text that sets p to the path; ~ and ~user are looked up as goss does."""
    if not path.startswith("~"):
        return f"p={quote(path)}"
    user, slash, rest = path[1:].partition("/")
    who = quote(user) if user else '"$(id -un)"'
    line = f"h=$({{ getent passwd; cat /etc/passwd; }} 2>/dev/null | awk -F: -v u={who} '$1 == u {{ print $6; exit }}')"
    return f"{line}\np=$h{quote(slash + rest) if slash else ''}"


_LOOK = """if [ -L "$p" ]; then t=symlink
elif [ -d "$p" ]; then t=directory
elif [ -f "$p" ]; then t=file
elif [ -S "$p" ]; then t=socket
elif [ -p "$p" ]; then t=pipe
elif [ -c "$p" ]; then t=character-device
elif [ -b "$p" ]; then t=block-device
elif [ -e "$p" ]; then t=file
else t=; fi
if [ -z "$t" ]; then
  d=$p
  while [ -n "$d" ]; do
    d=${d%/*}
    if [ -d "${d:-/}" ]; then
      if [ -x "${d:-/}" ]; then echo "exists no"; else echo "exists ${d:-/} may not be searched by $(id -un)"; fi
      break
    fi
  done
else
  echo "exists yes"
  echo "filetype $t"
  if [ "$t" = symlink ] && l=$(readlink -- "$p"); then case $l in *"
"*) ;; *) echo "linked-to $l" ;; esac; fi
"""
_FORMAT = """mode %a
size %s
uid %u
gid %g
owner %U
group %G"""
_STAT = f"""  stat -c '{_FORMAT}' -- "$p"
"""
_STATED = ("mode", "size", "uid", "gid", "owner", "group")


def _observe(resource: str, options: FileOptions) -> str:
    parts = [_variable(_path(resource, options)), _LOOK]
    if _is_stated(options):
        parts.append(_STAT)
    parts += [
        f'  s=$({name}sum < "$p") && echo "{name} ${{s%% *}}"\n' for name in _SUMS if getattr(options, name) is not None
    ]
    if options.contents is not None or options.contains is not None:
        parts.append(
            f'  if c=$(cat -- "$p" 2>&1 >/dev/null); then echo {CONTENTS}; cat -- "$p"; else echo "unread $c"; fi\n'
        )
    return "\n".join([parts[0], "".join(parts[1:]) + "fi\n:"])


def _is_stated(options: FileOptions) -> bool:
    """Whether something is asserted that only stat(1) tells."""
    return any(getattr(options, name) is not None for name in _STATED)


def _together_key(resource: str, options: FileOptions) -> str | None:
    read = options.contents is not None or options.contains is not None
    summed = any(getattr(options, name) is not None for name in _SUMS)
    path = _path(resource, options)
    return None if read or summed or path.startswith("~") else path


def _observe_together(files: Sequence[tuple[str, FileOptions]]) -> str:
    looks = [f"look {path}" + (' && set -- "$@" "$p"' if _is_stated(options) else "") for path, options in files]
    return f"""look() {{
at "$1"
p=$1
{_LOOK}fi
[ -n "$t" ]
}}
set --
{chr(10).join(looks)}
[ $# = 0 ] || stat -c "
$METALLIZE_AT %n
{_FORMAT}" -- "$@"
:"""


def _mode(fields: Fields) -> str | Unseen:
    mode = fields.text("mode")
    return mode.rjust(4, "0") if isinstance(mode, str) else mode


def _compare(_resource: str, options: FileOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    unread = Unseen(reason=fields.values.get("unread") or fields.trouble)
    contents = fields.contents if fields.contents is not None else unread
    is_link = fields.values.get("filetype") == "symlink"
    no_link = Unseen(reason="it cannot be read as one line" if is_link else "it is no symbolic link")
    link = fields.text("linked-to") if "linked-to" in fields.values else no_link
    yield from judge_existing(
        Attribute(name="exists", expected=options.exists, actual=fields.truth("exists")),
        (
            Attribute(name="mode", expected=options.mode, actual=_mode(fields)),
            Attribute(name="owner", expected=options.owner, actual=fields.text("owner")),
            Attribute(name="uid", expected=options.uid, actual=fields.number("uid")),
            Attribute(name="group", expected=options.group, actual=fields.text("group")),
            Attribute(name="gid", expected=options.gid, actual=fields.number("gid")),
            Attribute(name="linked-to", expected=options.linked_to, actual=link),
            Attribute(name="filetype", expected=options.filetype, actual=fields.text("filetype")),
            Attribute(name="contains", expected=options.contains, actual=contents),
            Attribute(name="contents", expected=options.contents, actual=contents),
            Attribute(name="size", expected=options.size, actual=fields.number("size")),
            *(Attribute(name=name, expected=getattr(options, name), actual=fields.text(name)) for name in _SUMS),
        ),
    )


KIND = ResourceKind(
    name="file",
    summary="a file, folder, link or socket: owner, mode, contents, checksum",
    options=FileOptions,
    example='/etc/fstab:\n  exists: true\n  mode: "0644"\n  contents: ["/ext4|overlay/"]\n',
    observe=_observe,
    compare=_compare,
    refusal=_refuse,
    aside=False,
    together=Together(key=_together_key, observe=_observe_together),
)
