"""A step of a build: a command whose words may be known only when the steps before it are done.

`metallize build` fills the words in and runs the command, `metallize plan` prints it; there is no other description
of a build.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from metallize.model.profile import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A word, or a part of one, that is known when the step is run."""

    name: str
    """A step's id, for the reference of its image, or one of the names below."""
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        return f"{self.before}<{self.name}>{self.after}"


Word = str | Slot

PINNED, PINNED_DIGITS = "metallize/from", 32
"""The repository of the names of bases that stay with one image each: a tag is that many digits of its id."""
DOCKER = Slot(name="docker")
"""The docker command that can build with BuildKit."""
TAG, PARENT_ID = "tag", "parent_id"
"""The tag of the image that a step makes; the id of the image that it stands on."""
WORK = "work"
"""The build's own folder, on the filesystem of the image's place."""
SCRATCH = "METALLIZE_SCRATCH"
"""A folder for what a base is made from; commands find it in their environment too."""
ASKED, DIGEST, SIGNATURE = "asked", "digest", "signature"
"""The folder in it of what a token is to sign, NAME.digest; one of these; and its answer, NAME.signature."""
EPOCH, USER = "epoch", "user"
"""No time in the image is later, in seconds since 1970; who owns what the generator writes."""


class Kind(StrEnum):
    """What a step is for."""

    BASE = "base"
    LAYER = "layer"
    EXPORT = "export"
    BOOTSTRAP = "bootstrap"
    LOAD = "load"
    LOOK = "look"
    SEAL = "seal"
    HOLD = "hold"
    GENERATE = "generate"
    SIGN = "sign"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command, what it takes and what it makes."""

    id: str
    """A name for the shell as well: letters, digits and underscores."""
    kind: Kind
    explain: str
    argv: tuple[Word, ...]
    inputs: tuple[str, ...] = ()
    """The steps whose images it takes, the one it stands on first."""
    output: str = ""
    """Of a layer: the repository of its tag. Of a base: the reference. Else what it writes."""
    key: str = ""
    """Digest of all that goes into it but for its inputs' images."""
    lent: tuple[tuple[str, str], ...] = ()
    """Of a layer: steps whose images BuildKit looks for by a reference that its dockerfile names, and that."""
    platform: Platform | None = None
    """Of a base. One without a command is on no registry."""
    places: tuple[str, ...] = ()
    """Of a base: local references that it is looked for under, the best first."""
    otherwise: tuple[Step, ...] = ()
    """Of a base: the steps that make it where its command fails."""


def tag_of(step: Step, ids: Sequence[str]) -> str:
    """The tag of what a layer makes on these very images, in the order of its inputs.

    It has the ids in it, so what is found under it was made from them, whoever made it.
    """
    return f"{step.output}:{digest_of(step.key, *ids)[:_TAG_DIGITS]}"


_TAG_DIGITS = 16


def pin_of(identity: str) -> str:
    """The name that stays with the image of this id."""
    return f"{PINNED}:{identity.rpartition(':')[2][:PINNED_DIGITS]}"


def digest_of(*parts: str) -> str:
    """SHA-256 of texts, none of which can pass for a part of its neighbour, in hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def key_of(argv: Sequence[Word], *sources: str) -> str:
    """The key of a command and of the digests of the files that it reads; its slots count by their names."""
    words = [word if isinstance(word, str) else ["slot", word.before, word.name, word.after] for word in argv]
    return digest_of(json.dumps(words), *sources)


def filled(argv: Sequence[Word], values: Mapping[str, str]) -> tuple[str, ...]:
    """The command's words with the values in their places. Raises KeyError for a value that is not given."""
    return tuple(word if isinstance(word, str) else f"{word.before}{values[word.name]}{word.after}" for word in argv)


def in_shell(argv: Sequence[Word]) -> str:
    """The command as sh(1) reads it, each slot a variable of its name."""
    return " ".join(shlex.quote(word) if isinstance(word, str) else _in_shell(word) for word in argv)


def _in_shell(slot: Slot) -> str:
    before, after = (shlex.quote(text) if text else "" for text in (slot.before, slot.after))
    return f'{before}"${slot.name}"{after}'
