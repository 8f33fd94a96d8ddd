"""init: a folder of one's own, with all that a first verified image needs; asked for on a terminal, or by options."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from metallize import pipeline
from metallize.catalog import Catalog
from metallize.catalog.schemas import FOLDER, write_schemas
from metallize.commands.saying import err, out
from metallize.config import load_profile
from metallize.config.reading.suggest import did_you_mean
from metallize.config.reading.words import is_image_reference
from metallize.errors import ExitCode, HostError, UsageError
from metallize.starting.answers import Answers, Ci, Kind, name_of, os_layers
from metallize.starting.application import Application, read_application
from metallize.starting.bases import DEFAULT
from metallize.starting.files import files_of
from metallize.starting.writing import Done, write


def init(options: argparse.Namespace) -> int:
    """`metallize init`: files that are there are left as they are."""
    asked = not options.yes and sys.stdin.isatty() and sys.stderr.isatty()
    ask: Callable[[str, str, Sequence[str]], str] = _ask if asked else _default
    answers, application, hints = _answers(options, ask)
    checkout = next((each for each in (answers.folder.resolve(), *answers.folder.resolve().parents)
                     if (each / ".git").exists()), None)  # fmt: skip
    if answers.folder.exists() and not answers.folder.is_dir():
        raise UsageError(f"{answers.folder} is a file", hint="name a folder; it is made where there is none")
    written = write(files_of(answers, application, checkout))
    catalog = Catalog()
    try:
        write_schemas(catalog, answers.folder / FOLDER)
    except OSError as exc:
        raise HostError(f"{answers.folder / FOLDER}: {exc.strerror}", hint="name another folder") from exc
    for each in written:
        why = (
            "; it is there already, and says something else: remove it to have it anew"
            if each.done is Done.KEPT
            else f": {each.file.about}"
        )
        out(f"{each.done} {os.path.relpath(each.file.path)}{why}")
    for words in (*hints, *(application.notes if application else ())):
        err(f"note: {words}")
    profile = answers.folder / f"{answers.name}.yaml"
    pipeline.plan_of(load_profile(profile, vocabulary=catalog.vocabulary()), catalog, pipeline.Options())
    folder = os.path.relpath(answers.folder)
    go = "" if folder == "." else f"cd {shlex.quote(folder)} && "
    out(f"next: {go}metallize build {answers.name}.yaml --verify")
    return ExitCode.DONE


def _answers(
    options: argparse.Namespace, ask: Callable[[str, str, Sequence[str]], str]
) -> tuple[Answers, Application | None, list[str]]:
    dockerfile, hints = _dockerfile(options, ask)
    folder: Path = options.folder or Path(ask("folder", "os" if dockerfile else ".", ()))
    name = options.name or ask("name", name_of((options.context or dockerfile.parent) if dockerfile else folder), ())
    if name_of(Path(name)) != name or "/" in name:
        raise UsageError(
            f"`{name}` is no name: it is lower case letters, digits and -", hint=f"--name {name_of(Path(name))}"
        )
    kind = Kind(options.kind or ask("kind", Kind.VM if dockerfile else Kind.DISK, list(Kind)))
    if options.base is not None and not is_image_reference(options.base):
        raise UsageError(
            f"--base {options.base}: it is no image reference", hint="for example debian:trixie, ubuntu:24.04"
        )
    base = options.base
    application = None
    if dockerfile is not None:
        context = options.context or dockerfile.parent
        if not context.is_dir():
            raise UsageError(f"--context {context}: there is no such folder")
        supported = Catalog().layers[os_layers(kind, "debian")[0]].supports
        supported += Catalog().layers[os_layers(kind, "ubuntu")[0]].supports
        application = read_application(dockerfile, context, layer=f"{name}.dockerfile", base=base, supported=supported)
    elif base is None:
        base = ask("base", DEFAULT, ())
    health = application.container.health if application else None
    watchdog = options.watchdog
    if watchdog and health is None:
        raise UsageError(
            "--watchdog asks what HEALTHCHECK says, and there is none", hint="write one into the Dockerfile"
        )
    if watchdog is None:
        watchdog = (
            health is not None
            and ask("watchdog: start the app again when its HEALTHCHECK keeps failing", "no", ("no", "yes")) == "yes"
        )
    ci = Ci(options.ci or ask("ci", Ci.GITHUB, list(Ci)))
    answers = Answers(
        folder=folder,
        name=name,
        kind=kind,
        base=base,
        dockerfile=dockerfile,
        context=options.context,
        ci=ci,
        watchdog=watchdog,
    )
    return answers, application, hints


def _dockerfile(
    options: argparse.Namespace, ask: Callable[[str, str, Sequence[str]], str]
) -> tuple[Path | None, list[str]]:
    """The application's dockerfile, where there is one; one that lies about is asked for, or told of."""
    given: Path | None = options.dockerfile
    if given is not None and given.is_dir():
        given /= "Dockerfile"
    if given is None and options.context is not None:
        raise UsageError("--context goes with --dockerfile", hint="metallize init --help")
    near = Path("Dockerfile")
    if given is not None or not near.is_file():
        return given, []
    if ask is _default:
        return None, ["there is a Dockerfile here: `metallize init --dockerfile Dockerfile` makes an image of its app"]
    wanted = ask("dockerfile: there is one here, make an image of its app", "yes", ("yes", "no"))
    return (near if wanted == "yes" else None), []


def _default(_question: str, default: str, _choices: Sequence[str]) -> str:
    return default


def _ask(question: str, default: str, choices: Sequence[str]) -> str:
    """One line from the terminal; again, where it is none of the choices."""
    while True:
        among = f" ({', '.join(choices)})" if choices else ""
        sys.stderr.write(f"{question}{among} [{default}]: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise UsageError(
                "the terminal was closed before every question was answered", hint="--yes takes the defaults"
            )
        answer = line.strip() or default
        if not choices or answer in choices:
            return answer
        err(f"`{answer}` is none of them: {did_you_mean(answer, choices) or 'one of ' + ', '.join(choices)}")
