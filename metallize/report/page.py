"""Pages that stand alone: one file, no script, nothing fetched; what a guest printed is text and nothing else.

Markup is made of elements, never of pasted strings: a child that is no `Markup` is escaped, so that no caller can
forget it. The documents are HTML that is well-formed XML too, which a test can check.
"""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.resources import files

from metallize.model.visible import visible

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""Content Security Policy, Level 3: even markup that got through could neither run nor fetch anything."""
_VOID = frozenset({"meta", "img", "br", "wbr", "hr", "input"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: str | bool | None) -> Markup:
    """One element; `class_` is the attribute class, `aria_label` aria-label; None and False leave an attribute out."""
    head = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = "" if value is True else escape(visible(value))
        head.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    if name in _VOID:
        return Markup(f"<{' '.join(head)}/>")
    return Markup(f"<{' '.join(head)}>{joined(*children)}</{name}>")


def joined(*children: str | None) -> Markup:
    """Children one after the other, those that are no markup escaped."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else escape(visible(child)) for child in children if child is not None
        )
    )


@cache
def _style() -> str:
    return files("metallize.report").joinpath("page.css").read_text(encoding="utf-8")


def document(title: str, *body: str | None) -> str:
    """A whole page, with its style in it."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(_style())),
    )
    page = element("html", head, element("body", element("main", *body)), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def section(name: str, heading: str, *body: str | None, class_: str | None = None) -> Markup:
    """A part of the page with its heading, which names it to those who cannot see it."""
    return element(
        "section",
        element("h2", heading, id=f"{name}-heading"),
        *body,
        id=name,
        class_=class_,
        aria_labelledby=f"{name}-heading",
    )


def folded(summary: str, *body: str | None, open_: bool = False, class_: str | None = None) -> Markup:
    """What is shown when a person asks for it."""
    return element("details", element("summary", summary), *body, open=open_, class_=class_)


def mark(verdict: str) -> Markup:
    """A sign for a verdict, said aloud too: no meaning by colour alone."""
    sign, word = {
        "passed": ("\N{HEAVY CHECK MARK}", "passed"),
        "failed": ("\N{HEAVY MULTIPLICATION X}", "failed"),
        "broken": ("!", "not made"),
        "flaky": ("\N{ALMOST EQUAL TO}", "flaky"),
        "missed": ("\N{DOTTED CIRCLE}", "nothing seen"),
        "skipped": ("\N{EN DASH}", "skipped"),
        "unseen": ("?", "not seen"),
    }[verdict]
    return joined(
        element("span", sign, class_=f"sign {verdict}", aria_hidden="true"),
        element("span", f"{word} ", class_="aloud"),
    )


def seconds(value: float) -> str:
    """`0.04 s`, `12.3 s`, `2 m 05 s`."""
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:  # noqa: PLR2004 - a minute
        return f"{value:.1f} s"
    return f"{int(value // 60)} m {int(value % 60):02d} s"


def size(count: int) -> str:
    """`612 bytes`, `48 KiB`, `1.2 MiB`."""
    if count < 1 << 10:
        return f"{count} bytes"
    if count < 1 << 20:
        return f"{count / (1 << 10):.0f} KiB"
    return f"{count / (1 << 20):.1f} MiB"
