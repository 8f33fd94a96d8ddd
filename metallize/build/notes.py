"""What becomes of instructions that configure a container: `plan` prints it, and `build` says it before it begins."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from metallize.build.app import CARRIED
from metallize.build.dockerfile import parse
from metallize.build.engines.engine import Engine
from metallize.build.plan import AppUnit, BuildPlan

_MEANS = {
    "EXPOSE": "what listens is reached on its port without it; boot.reach asserts that",
    "VOLUME": "the folder is one of the root filesystem's",
    "HEALTHCHECK": "`output.app.watchdog: true` has a unit ask it",
}
"""What an OS does instead, by the instruction."""


def notes(plan: BuildPlan) -> Iterator[str]:
    """A sentence for each, with its layer and line."""
    app = plan.app
    if app is not None:
        yield from _of_app(app)
    yield from plan.remarks
    for layer in plan.rootfs.layers:
        for each in layer.runtime_only:
            place = f"{layer.name}:{each.line}"
            if each.word == "HEALTHCHECK" and app is not None and app.watchdog and app.health is not None:
                if (layer.name, each.line) != (app.health.layer, app.health.line):
                    yield f"{place}: HEALTHCHECK gives way to that of {app.health.layer}, as in a container."
            elif app is None or each.word not in CARRIED:
                instead = f": {_MEANS[each.word]}" if each.word in _MEANS else ""
                yield f"{place}: {each.word} configures a container; an OS that boots does not see it{instead}."
            elif each.word in ("CMD", "ENTRYPOINT") and layer.name != app.layer:
                yield f"{place}: {each.word} gives way to that of {app.layer}, as in a container."


def shortfalls(plan: BuildPlan, engine: Engine) -> Iterator[str]:
    """What of the dockerfiles this engine cannot read by itself, with its layer and line, and what to do.

    An image that `# syntax=` names, and that is here, reads the file.
    """
    for layer in plan.rootfs.layers:
        dockerfile = parse(layer.dockerfile.read_text(errors="replace"))
        frontend = dockerfile.frontend_image
        if frontend is None or engine.inspect(frontend) is None:
            for each in dockerfile.shortfalls(engine.version):
                yield f"{layer.name}:{each.line}: {each.message}{f' ({each.hint})' if each.hint else ''}."


def _of_app(app: AppUnit) -> Iterator[str]:
    yield (
        f"{app.layer}:{app.line}: {app.name} runs `{shlex.join(app.argv)}` as {app.user} in {app.directory}, "
        f"restart {app.restart}, output in the journal (output.app changes it, `app: false` leaves it out)."
    )
    if app.watchdog and app.health is not None:
        health = app.health
        every = f"{health.interval.total_seconds():g} s"
        yield (
            f"{health.layer}:{health.line}: {app.watchdog_name} asks HEALTHCHECK every {every}, and starts {app.name} "
            f"again after {health.retries} failures in a row."
        )
