"""What kind of value an attribute has: a truth, a number, a text, a mode; and what can never be one.

A claim that no value could meet (`running: yess`, `exit-status: zero`) is a mistake of the profile, not of the image,
so it is told when the profile is read. Only the values are looked at, in `equal`, `not`, `and` and `or` too; other
matchers make text or numbers of what they see, as goss's do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from metallize.config.reading.suggest import did_you_mean
from metallize.model.kind import whole_number
from metallize.model.written import written

Path = tuple[str | int, ...]
Mistake = tuple[Path, str, str | None, bool]
"""Where in the attribute, what is wrong, what to do, and whether the place is the key's."""

_OF_COLLECTIONS = frozenset({"have-key", "have-key-with-value", "gjson"})
_OF_NO_TRUTH = frozenset(
    {*_OF_COLLECTIONS, "gt", "ge", "lt", "le", "have-len", "contain-element", "contain-elements", "consist-of"}
    | {"semver-constraint"}
)
_WORDS = {"yes": True, "on": True, "no": False, "off": False}
"""YAML 1.1's words for a truth, which goss files hold as such."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
FILE_TYPES = ("file", "directory", "symlink", "socket", "pipe", "character-device", "block-device")
_MODE_DIGITS = 5
"""04755 with a leading zero."""


class Wrong(ValueError):  # noqa: N818 - it says what is wrong
    """A value that is none of the attribute's, and what to write."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """The kind of an attribute's value."""

    what: str
    value: Callable[[object], object]
    """The value as it is compared; raises Wrong."""
    refused: frozenset[str] = frozenset()
    """Matchers that cannot look at such a value."""
    list_hint: str | None = None
    """What to write in place of a list; None where the attribute is a list."""
    equal_as_written: bool = False
    """Whether `equal` tells the text "0" from the number: some of these are text in the guest."""

    def read(self, raw: object) -> tuple[object, list[Mistake]]:
        """The attribute with its values as they are compared, and every mistake among them."""
        mistakes: list[Mistake] = []
        return self._read(raw, (), mistakes), mistakes

    def _read(self, raw: object, path: Path, mistakes: list[Mistake]) -> object:
        match raw:
            case None:
                return raw
            case dict():
                return {name: self._inside(name, inner, (*path, name), mistakes) for name, inner in raw.items()}
            case list() if self.list_hint is None or not raw:
                return self._each(raw, path, mistakes)
            case list():
                mistakes.append((path, f"{self.what} is wanted here, not a list", self.list_hint, False))
                return raw
        try:
            return self.value(raw)
        except Wrong as exc:
            mistakes.append((path, str(exc), exc.hint, False))
            return raw

    def _each(self, raw: Iterable[object], path: Path, mistakes: list[Mistake]) -> list[object]:
        return [self._read(item, (*path, index), mistakes) for index, item in enumerate(raw)]

    def _inside(self, name: str, raw: object, path: Path, mistakes: list[Mistake]) -> object:
        """What stands below a matcher's name."""
        if name in self.refused:
            mistakes.append((path, f"`{name}` cannot look at {self.what}", None, True))
            return raw
        if name in {"and", "or"} and isinstance(raw, list):
            return self._each(raw, path, mistakes)
        if name == "not":
            return self._read(raw, path, mistakes)
        if name == "equal":
            read = self._read(raw, path, mistakes)
            return raw if self.equal_as_written else read
        if self.list_hint is None and name in {"contain-elements", "consist-of"} and isinstance(raw, list):
            return self._each(raw, path, mistakes)
        return raw


def _words(raw: object) -> str:
    """A value in a person's words."""
    if isinstance(raw, bool):
        return f"true or false: `{str(raw).lower()}`"
    return f"a number: `{written(raw)}`" if isinstance(raw, int | float) else f"text: `{str(raw)[:60]}`"


def is_finite(raw: object) -> bool:
    """Whether it is no `.nan` and no `.inf` of YAML, with which every claim holds, or none."""
    return not isinstance(raw, float) or math.isfinite(raw)


def _truth(raw: object) -> object:
    if isinstance(raw, bool):
        return raw
    if raw in ("true", "false"):
        return raw == "true"
    if isinstance(raw, str) and raw.lower() in _WORDS:
        return _WORDS[raw.lower()]
    raise Wrong(f"true or false is wanted here, not {_words(raw)}", "write true or false")


def _number(raw: object) -> object:
    """Read the text "1000" of a uid, gid or exit status as a number, as goss does."""
    if isinstance(raw, str) and (number := whole_number(raw.strip())) is not None and number >= 0:
        return number
    if isinstance(raw, bool) or (isinstance(raw, str) and _NUMBER.fullmatch(raw.strip()) is None) or not is_finite(raw):
        raise Wrong(f"a number is wanted here, not {_words(raw)}")
    return raw


def _text(raw: object) -> object:
    if isinstance(raw, bool):
        shown = str(raw).lower()
        raise Wrong(f"text is wanted here, not {shown}", f'write "{shown}" for the text')
    return raw


def _mode(raw: object) -> object:
    """`0644`, `644` and "644" all mean the mode "0644"."""
    if isinstance(raw, int | str) and not isinstance(raw, bool):
        text = (written(raw) if isinstance(raw, int) else raw).removeprefix("0o")
        if len(text) <= _MODE_DIGITS and re.fullmatch("[0-7]+", text):
            return text.lstrip("0").rjust(4, "0")
    raise Wrong(f"a mode is wanted here, not {_words(raw)}", 'write its octal digits, like "0644"')


def one_of(what: str, choices: tuple[str, ...]) -> Typed:
    """A text out of a closed set."""

    def value(raw: object) -> object:
        if isinstance(raw, str) and raw in choices:
            return raw
        raise Wrong(f"{what} is wanted here, not {_words(raw)}", did_you_mean(str(raw), choices))

    return Typed(what=what, value=value, refused=_OF_COLLECTIONS, list_hint="join several with `or: [...]`")


def checksum(name: str, digits: int) -> Typed:
    """A checksum in hexadecimal digits, as sha256sum(1) prints it."""

    def value(raw: object) -> object:
        text = written(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
        if isinstance(text, str) and re.fullmatch(f"[0-9a-f]{{{digits}}}", text):
            return text
        hint = "write them in small letters" if isinstance(text, str) and text.lower() != text else None
        raise Wrong(f"the {digits} hexadecimal digits of a {name} are wanted here, not {_words(raw)}", hint)

    return Typed(what=f"a {name}", value=value, refused=_OF_COLLECTIONS, list_hint="join several with `or: [...]`")


TRUTH = Typed(what="true or false", value=_truth, refused=_OF_NO_TRUTH, list_hint="write true or false")
NUMBER = Typed(
    what="a number",
    value=_number,
    refused=_OF_COLLECTIONS,
    list_hint="join several with `or: [...]`",
    equal_as_written=True,
)
TEXT = Typed(what="text", value=_text)
MODE = Typed(what="a mode", value=_mode, refused=_OF_COLLECTIONS, list_hint="join several with `or: [...]`")
