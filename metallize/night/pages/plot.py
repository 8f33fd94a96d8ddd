"""A plot over the nights as inline SVG: lines from zero up, each named at its end, and judged points marked by shape.

No meaning is by colour alone, and what a line says is said in words too, for those who do not see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metallize.report.page import Markup, element, joined

_WIDTH, _HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 112, 14, 30
_STEPS = (1, 2, 2.5, 5, 10)
_LABEL = 17
"""Between two names at the ends of lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One quantity: a value for each night, None where there was none."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A night that was judged."""

    at: int
    """Which night, counted from 0."""
    value: float
    kind: str
    """worse, suspected or anew: the class and the shape."""
    text: str


def plot(
    title: str, unit: str, nights: Sequence[str], lines: Sequence[Line], marks: Sequence[Mark] = ()
) -> Markup | None:
    """A figure with its caption; None where no line has two values. `nights` are what the axis says of each."""
    shown = [line for line in lines if sum(value is not None for value in line.values) > 1]
    if not shown:
        return None
    top = max(value for line in shown for value in line.values if value is not None)
    top = max([top, *(mark.value for mark in marks)])
    step = _step(top)
    most = step * -(-max(top, step / 2) // step)
    words = "; ".join(_words(line, unit) for line in shown)
    scale = _Scale(count=len(nights), most=most)
    svg = element(
        "svg",
        element("title", f"{title}: {words}"),
        *_grid(scale, step),
        *_axis(scale, nights),
        *(_line(scale, line, number) for number, line in enumerate(shown)),
        *_names(scale, shown),
        *(_mark(scale, mark) for mark in marks),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{title}: {words}",
        class_="plot",
    )
    return element("figure", element("figcaption", title if title.lower() == unit else f"{title}, {unit}"), svg)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    count: int
    most: float

    def x(self, at: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * at / max(1, self.count - 1)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / self.most


def _step(top: float) -> float:
    """A round number of which three to six reach the top."""
    size = 1e-6
    while True:
        for each in _STEPS:
            if each * size * 5 >= top:
                return each * size
        size *= 10


def _grid(scale: _Scale, step: float) -> list[Markup]:
    found = []
    value = 0.0
    while value <= scale.most * 1.001:
        y = f"{scale.y(value):.1f}"
        found.append(element("line", x1=str(_LEFT), x2=str(_WIDTH - _RIGHT), y1=y, y2=y, class_="grid"))
        found.append(element("text", f"{value:g}", x=str(_LEFT - 6), y=f"{scale.y(value) + 5:.1f}", class_="tick end"))
        value += step
    return found


def _axis(scale: _Scale, nights: Sequence[str]) -> list[Markup]:
    """The first, the middle and the last night."""
    places = sorted({0, len(nights) // 2, len(nights) - 1}) if len(nights) > 2 else [0, len(nights) - 1]  # noqa: PLR2004
    anchors = {0: "tick", len(nights) - 1: "tick end"}
    return [
        element("text", nights[at], x=f"{scale.x(at):.1f}", y=str(_HEIGHT - 8), class_=anchors.get(at, "tick middle"))
        for at in dict.fromkeys(places)
    ]


def _line(scale: _Scale, line: Line, number: int) -> Markup:
    """Its pieces: where a night has no value it is broken."""
    pieces: list[list[str]] = [[]]
    for at, value in enumerate(line.values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{scale.x(at):.1f},{scale.y(value):.1f}")
    parts = [
        element("polyline", points=" ".join(piece), fill="none")
        if len(piece) > 1
        else element("circle", cx=piece[0].split(",")[0], cy=piece[0].split(",")[1], r="2")
        for piece in pieces
        if piece
    ]
    return element("g", *parts, class_=f"line line-{number % 6}")


def _names(scale: _Scale, lines: Sequence[Line]) -> list[Markup]:
    """Each at the height at which its line ends, or as near as there is room."""
    ends = []
    for number, line in enumerate(lines):
        last = next(value for value in reversed(line.values) if value is not None)
        ends.append((scale.y(last), number, line.name))
    found, free = [], float(_HEIGHT - 4)
    for y, number, name in sorted(ends, reverse=True):
        free = min(y + 5, free)
        found.append(
            element("text", name, x=str(_WIDTH - _RIGHT + 7), y=f"{free:.1f}", class_=f"name line-{number % 6}")
        )
        free -= _LABEL
    return found


def _mark(scale: _Scale, mark: Mark) -> Markup:
    x, y = scale.x(mark.at), scale.y(mark.value)
    title = element("title", mark.text)
    if mark.kind == "anew":
        line = element("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=str(_TOP), y2=str(_HEIGHT - _BOTTOM), class_="anew")
        return element("g", title, line)
    if mark.kind == "worse":
        shape = element("path", d=f"M{x - 7:.1f},{y - 20:.1f}h14l-7,13z", class_="worse")
        return element("g", title, shape)
    return element("g", title, element("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="6", class_="suspected"))


def _words(line: Line, unit: str) -> str:
    known = [value for value in line.values if value is not None]
    return f"{line.name} {known[-1]:.4g} {unit}, between {min(known):.4g} and {max(known):.4g} in {len(known)} nights"


def legend() -> Markup:
    """What the shapes mean."""
    return joined(
        element("span", "\N{BLACK DOWN-POINTING TRIANGLE}", class_="sign failed", aria_hidden="true"),
        "confirmed to be worse \N{EN QUAD}",
        element("span", "\N{WHITE CIRCLE}", class_="sign", aria_hidden="true"),
        "suspected \N{EN QUAD}",
        element("span", "\N{BOX DRAWINGS LIGHT TRIPLE DASH VERTICAL}", class_="sign", aria_hidden="true"),
        "a new baseline: another host, accelerator or QEMU",
    )
