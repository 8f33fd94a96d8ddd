"""Where the verbs print: results on standard output, all else on standard error."""

from __future__ import annotations

import sys

from metallize.errors import MetallizeError, ProfileError
from metallize.model.visible import visible
from metallize.render.colour import Colour, Style
from metallize.render.json_lines import JsonLines


def out(text: str) -> None:
    sys.stdout.write(text + "\n")


def err(text: str, style: Style | None = None, colour: Colour = Colour.AUTO) -> None:
    shown = visible(text)
    sys.stderr.write((style.paint(shown, on=colour.on(sys.stderr)) if style else shown) + "\n")


def show_error(exc: MetallizeError, *, as_json: bool, colour: Colour = Colour.AUTO) -> None:
    """What failed, where, and the next step: on standard error, and for --json as an event too."""
    if as_json:
        problems = [
            {"path": str(p.location.path), "line": p.location.line, "column": p.location.column, "message": p.message,
             "hint": p.hint}
            for p in (exc.problems if isinstance(exc, ProfileError) else ())
        ]  # fmt: skip
        content = {"event": "error", "message": exc.message, "hint": exc.hint, "exit": int(exc.exit_code)}
        JsonLines(sys.stdout).write({**content, "problems": problems} if problems else dict(content))
    head = Style.BAD.paint("error:", on=colour.on(sys.stderr))
    if isinstance(exc, ProfileError):
        for problem in exc.problems:
            err(f"{problem}")
        count = len(exc.problems)
        sys.stderr.write(f"{head} {count} problem{'s' if count > 1 else ''}; nothing was built\n")
        return
    sys.stderr.write(f"{head} {visible(exc.message)}\n")
    if exc.hint:
        err(f"  next: {exc.hint}")
