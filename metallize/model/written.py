"""A number that remembers how it was written: `0644` is 420 to YAML and a mode to a person."""

from __future__ import annotations


class WrittenInt(int):
    """A whole number with its text."""

    text: str

    def __getnewargs__(self) -> tuple[int, str]:  # type: ignore[override]  # it travels to other hosts
        return int(self), self.text

    def __new__(cls, value: int, text: str) -> WrittenInt:  # noqa: PYI034 - it is never subclassed
        made = super().__new__(cls, value)
        made.text = text
        return made


class WrittenFloat(float):
    """A number with its text."""

    text: str

    def __getnewargs__(self) -> tuple[float, str]:  # type: ignore[override]  # it travels to other hosts
        return float(self), self.text

    def __new__(cls, value: float, text: str) -> WrittenFloat:  # noqa: PYI034 - it is never subclassed
        made = super().__new__(cls, value)
        made.text = text
        return made


def written(value: float) -> str:
    """The text of a number as it was written, or as Python writes it."""
    return value.text if isinstance(value, WrittenInt | WrittenFloat) else str(value)
