"""What whoever builds lends to the layers' builds: `--secret` and `--ssh`, as `docker build` has them.

No image holds it, no key stands on it, and it is written down nowhere: the command of a layer has its source alone, and
what a build prints is shown without it.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metallize.build.dockerfile.secret_mounts import DEFAULT_SSH, Kind
from metallize.errors import UsageError

MOST_BYTES = 500 * 1024
"""Of a secret: BuildKit takes no more (session/secrets)."""
SSH_SOCKET = "SSH_AUTH_SOCK"
HIDDEN = "***"
_SHORTEST = 4
"""A line of a secret that has fewer characters is found everywhere, and is shown."""
EXAMPLES = {Kind.SECRET: "--secret id=token,src=token.txt, or --secret id=token,env=TOKEN", Kind.SSH: "--ssh default"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One thing that is lent."""

    kind: Kind
    id: str
    word: str
    """What follows docker's option: the source, and never what is in it."""
    file: Path | None = None
    variable: str = ""

    @property
    def words(self) -> tuple[str, str]:
        return (f"--{self.kind}", self.word)

    def lines(self) -> tuple[str, ...]:
        """What is not to be shown, the longest first; nothing of a key, which ssh-agent keeps to itself."""
        if self.kind is not Kind.SECRET:
            return ()
        text = _bytes(self).decode("utf-8", "replace")
        lines = {line.strip() for line in text.splitlines()}
        return tuple(sorted((line for line in lines if len(line) >= _SHORTEST), key=len, reverse=True))


def given_of(secrets: Sequence[str], ssh: Sequence[str]) -> tuple[Given, ...]:
    """The options' values. Raises UsageError for one that cannot be read, or that leads to nothing."""
    found = [*(_secret(text) for text in secrets), *(_agent(text) for text in ssh)]
    for index, each in enumerate(found):
        if any((other.kind, other.id) == (each.kind, each.id) for other in found[:index]):
            raise UsageError(f"--{each.kind}: {each.id} is given twice", hint="leave one out")
    return tuple(found)


def _secret(text: str) -> Given:
    option = f"--secret {text}"
    fields: dict[str, str] = {}
    for part in _fields(text):
        name, equals, value = part.partition("=")
        key = {"source": "src"}.get(name.lower(), name.lower())
        if not equals or key not in ("id", "src", "env", "type"):
            raise UsageError(f"{option}: `{part}` is neither id=, src= nor env=", hint=EXAMPLES[Kind.SECRET])
        if key in fields:
            raise UsageError(f"{option}: it has {key}= twice", hint=EXAMPLES[Kind.SECRET])
        fields[key] = value
    kind = fields.pop("type", "env" if "env" in fields else "file")
    if kind == "env" and "env" not in fields and "src" in fields:  # docker build takes it so
        fields["env"] = fields.pop("src")
    if kind not in ("file", "env") or not fields.get("id"):
        what = f"there is no type={kind}" if kind not in ("file", "env") else "it has no id="
        raise UsageError(f"{option}: {what}", hint=EXAMPLES[Kind.SECRET])
    if ("env" in fields) == ("src" in fields) or not all(fields.values()):
        raise UsageError(f"{option}: it says not where it is: src=FILE or env=VARIABLE", hint=EXAMPLES[Kind.SECRET])
    file = Path(fields["src"]).absolute() if "src" in fields else None
    source = f"src={file}" if file else f"env={fields['env']}"
    word = _csv(f"id={fields['id']}", source)
    given = Given(kind=Kind.SECRET, id=fields["id"], word=word, file=file, variable=fields.get("env", ""))
    size = len(_bytes(given))
    if size > MOST_BYTES:
        raise UsageError(
            f"{option}: {size} bytes are too many, BuildKit takes {MOST_BYTES}", hint="COPY what is no secret"
        )
    return given


def _bytes(given: Given) -> bytes:
    """What is in it. Raises UsageError where there is nothing."""
    if given.file is None:
        value = os.environ.get(given.variable)
        if not value:
            what = "is empty" if value is not None else "is not set"
            raise UsageError(
                f"--secret {given.word}: the variable {given.variable} {what} in the environment",
                hint=f"export {given.variable}, or name a file with src=",
            )
        return os.fsencode(value)
    try:
        if not stat.S_ISREG(given.file.stat().st_mode):
            raise UsageError(
                f"--secret {given.word}: {given.file} is no file", hint="name a file with the secret in it"
            )
        with given.file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as exc:
        raise UsageError(
            f"--secret {given.word}: {given.file} cannot be read: {exc.strerror or exc}", hint="see src="
        ) from exc
    if not content:
        raise UsageError(f"--secret {given.word}: {given.file} is empty", hint="see src=")
    return content


def _agent(text: str) -> Given:
    """`ID`, which is the running agent, or `ID=PATH[,PATH...]`: an agent's socket, or keys without a passphrase."""
    name, equals, places = text.partition("=")
    paths = [Path(each).absolute() for each in places.split(",") if each] if equals else []
    if not name or (equals and not paths):
        raise UsageError(f"--ssh {text}: it is ID or ID=SOCKET|KEY", hint=f"for example --ssh {DEFAULT_SSH}")
    if not equals:
        agent = os.environ.get(SSH_SOCKET, "")
        if not agent or not _is_socket(Path(agent)):
            why = f"{SSH_SOCKET} {'leads to no socket' if agent else 'is not set'}, so there is no agent"
            raise UsageError(
                f"--ssh {text}: {why}", hint=f'eval "$(ssh-agent)" && ssh-add, or name a key: --ssh {name}=KEY'
            )
        return Given(kind=Kind.SSH, id=name, word=name)
    for path in paths:
        if not path.exists():
            raise UsageError(f"--ssh {text}: there is no {path}", hint="name an agent's socket or a private key")
    return Given(kind=Kind.SSH, id=name, word=f"{name}={','.join(map(str, paths))}")


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _fields(text: str) -> list[str]:
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as exc:
        raise UsageError(f"--secret {text}: it is no list of fields: {exc}", hint=EXAMPLES[Kind.SECRET]) from exc


def _csv(*fields: str) -> str:
    """The fields as one record: a path may hold a comma."""
    record = io.StringIO()
    csv.writer(record, lineterminator="").writerow(fields)
    return record.getvalue()


def hidden(text: str, lines: Iterable[str]) -> str:
    """A line of a build without the secrets' own."""
    for each in lines:
        text = text.replace(each, HIDDEN)
    return text
