"""A dockerfile as text: its instructions with their lines, its arguments and stages, the files and images it takes.

BuildKit remains the judge, but what it refuses is told before it is asked: `faults`, with lines. Its parser is not
used: the one that PyPI has (`dockerfile`) has wheels for one architecture, brings the runtime of Go into the process,
refuses a file as a whole and tells nothing of stages and variables. The tests hold this reading to it, and to what
builds did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metallize.build.dockerfile import frontend, grammar, stages
from metallize.build.dockerfile.grammar import path_words
from metallize.build.dockerfile.lines import Heredoc, Instruction, Reading, Remark, heredoc, read, triggered
from metallize.build.dockerfile.secret_mounts import Loan, loans
from metallize.build.dockerfile.stages import ForeignImage, Stage
from metallize.build.dockerfile.words import WordError, expand

__all__ = [
    "RUNTIME_ONLY", "SOURCE_ARGUMENT", "ContextRead", "Dockerfile", "ForeignImage", "Heredoc", "Instruction", "Remark",
    "Stage", "automatic_arguments", "parse",
]  # fmt: skip

RUNTIME_ONLY = ("CMD", "ENTRYPOINT", "ENV", "USER", "WORKDIR", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL")
"""Instructions that configure a container and say nothing to an operating system that boots."""
SOURCE_ARGUMENT = "METALLIZE_SRC_IMG"
NATIVE_ARGUMENT = "METALLIZE_NATIVE_IMG"
_OURS = {SOURCE_ARGUMENT: "\0source", NATIVE_ARGUMENT: "\0native"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextRead:
    """What an instruction takes from the build context: a path with wildcards, without what `excludes` match."""

    pattern: str
    line: int
    excludes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A dockerfile, read. `faults` are what BuildKit would end with, `cautions` what is hardly meant as it is read."""

    reading: Reading
    faults: tuple[Remark, ...]
    cautions: tuple[Remark, ...]

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        return self.reading.instructions

    @property
    def stages(self) -> tuple[Stage, ...]:
        return stages.stages_of(self.reading)[1]

    @property
    def arguments(self) -> frozenset[str]:
        """Names of all ARG instructions."""
        declared = (each for each in self.instructions if each.word == "ARG")
        return frozenset(key for each in declared for key, _ in grammar.pairs(each, self.reading.escape))

    @property
    def builds_on_source(self) -> bool:
        """Whether its last stage stands, directly or through its own stages, on METALLIZE_SRC_IMG."""
        return _OURS[SOURCE_ARGUMENT] in self._ground(_OURS)

    @property
    def needs_source(self) -> bool:
        """Whether it stands on METALLIZE_SRC_IMG and names no image to stand on where none is given."""
        return self.builds_on_source and not self._ground({})

    def _ground(self, given: Mapping[str, str]) -> str:
        """The image from elsewhere that the last stage stands on, in the end."""
        before, found = stages.stages_of(self.reading)
        known = stages.outer_arguments(before, given, self.reading.escape, given)
        image = ""
        for stage in reversed(found):
            if not image or image.lower() == stage.name:
                image = stages.lenient(stage.image, known, self.reading.escape)
                if not image:
                    break
        return image

    def ground(self, arguments: Mapping[str, str]) -> str:
        """The image that its last stage stands on, in the end; empty where only a build knows."""
        return self._ground(arguments)

    @property
    def runtime_only(self) -> tuple[Instruction, ...]:
        """Instructions of the last stage that mean nothing once the image boots."""
        last = self.stages[-1].instructions if self.stages else self.instructions
        return tuple(each for each in last if each.word in RUNTIME_ONLY)

    @property
    def triggers(self) -> tuple[Instruction, ...]:
        """What the ONBUILDs of its last stage run in the next layer, whose context they read."""
        last = self.stages[-1].instructions if self.stages else ()
        return tuple(triggered(each, self.reading.escape) for each in last if each.word == "ONBUILD")

    def foreign_images(self, arguments: Mapping[str, str], automatic: Mapping[str, str]) -> tuple[ForeignImage, ...]:
        """The images that its last stage needs from elsewhere, by FROM, COPY --from and RUN --mount=from.

        `arguments` are the build's, `automatic` see automatic_arguments. Without `scratch`, and without
        METALLIZE_SRC_IMG and METALLIZE_NATIVE_IMG, which the stack gives.
        """
        ours = {name: _OURS[name] for name in _OURS if name not in arguments}
        return stages.foreign_images(self.reading, arguments, automatic, ours)

    def loans(
        self, arguments: Mapping[str, str], automatic: Mapping[str, str], triggers: Sequence[Instruction] = ()
    ) -> tuple[Loan, ...]:
        """The secrets and SSH agents that the stages mount which its last one needs.

        `arguments` and `automatic` as of foreign_images, `triggers` as of context_reads.
        """
        ours = {name: _OURS[name] for name in _OURS if name not in arguments}
        before, _ = stages.stages_of(self.reading)
        known = stages.outer_arguments(before, {**arguments, **ours}, self.reading.escape, automatic)
        needed = stages.needed(self.reading, known)
        return tuple(loans((*triggers, *(each for stage in reversed(needed) for each in stage.instructions))))

    def shortfalls(self, engine_version: str) -> tuple[Remark, ...]:
        """What keeps a Docker engine of that version from building it by itself, each with the action."""
        return frontend.shortfalls(self.reading, engine_version)

    @property
    def frontend_image(self) -> str | None:
        """The image that `# syntax=` has BuildKit fetch; None where the engine reads the file by itself."""
        return frontend.frontend_image(self.reading)

    def context_sources(self) -> tuple[str, ...] | None:
        """Paths (with wildcards) that it reads from its build context; None where only a build could tell."""
        reads = self.context_reads()
        return None if reads is None else tuple(read.pattern for read in reads)

    def context_reads(self, triggers: Sequence[Instruction] = ()) -> tuple[ContextRead, ...] | None:
        """What it reads from its build context, instruction by instruction; None where only a build could tell.

        `triggers` are those of the image that it stands on, which run in its build.
        """
        found: list[ContextRead] = []
        for outer in (*triggers, *self.instructions):
            each = triggered(outer, self.reading.escape) if outer.word == "ONBUILD" else outer
            for pattern in _patterns(each):
                try:
                    source = expand(pattern, {}, escape=self.reading.escape)
                except WordError:
                    continue  # BuildKit refuses it
                if "$" in pattern:
                    return None
                excludes = tuple(flag.partition("=")[2] for flag in each.flags if flag.startswith("--exclude="))
                found.append(ContextRead(pattern=source, line=each.line, excludes=excludes))
        return tuple(found)

    def at(self, line: int) -> Instruction | None:
        """The instruction that stands on a line, or begins before it and goes on there."""
        return max((each for each in self.instructions if each.line <= line), key=lambda each: each.line, default=None)

    def locate(self, step: str) -> Instruction | None:
        """The instruction that BuildKit names in a step such as `[2/3] RUN apt-get ...`."""
        wanted = _squeeze(step)
        matches = [each for each in self.instructions if _squeeze(each.text) == wanted]
        if not matches:  # BuildKit shows a RUN's command after its own expansion and may cut it
            matches = [
                each for each in self.instructions if wanted and _squeeze(each.text).startswith(wanted.rstrip("."))
            ]
        return matches[0] if matches else None


def parse(text: str) -> Dockerfile:
    """Read a dockerfile; never fails: what BuildKit would refuse stands in `faults`."""
    reading = read(text)
    found = [*reading.faults, *grammar.faults(reading), *stages.faults(reading)]
    warned = [*reading.cautions, *grammar.cautions(reading)]
    return Dockerfile(
        reading=reading,
        faults=tuple(sorted(found, key=lambda remark: remark.line)),
        cautions=tuple(sorted(warned, key=lambda remark: remark.line)),
    )


def automatic_arguments(platform: str, host: str) -> dict[str, str]:
    """The arguments that BuildKit gives by itself (Dockerfile reference, "Automatic platform ARGs")."""
    found: dict[str, str] = {}
    for side, value in (("TARGET", platform), ("BUILD", host)):
        system, architecture, variant = (*value.split("/"), "", "")[:3]
        found |= {
            f"{side}PLATFORM": value,
            f"{side}OS": system,
            f"{side}OSVERSION": "",
            f"{side}ARCH": architecture,
            f"{side}VARIANT": variant,
        }
    return found


def _patterns(each: Instruction) -> tuple[str, ...]:
    """What COPY, ADD and RUN --mount=type=bind take from the build context, as it is written."""
    if each.word == "RUN":
        bound = (mount for mount in stages.mounts(each) if mount.get("type", "bind").lower() == "bind")
        return tuple(mount.get("source", mount.get("src", ".")) for mount in bound if "from" not in mount)
    if each.word not in ("COPY", "ADD") or each.flag("from"):
        return ()
    try:
        paths = path_words(each.arguments)[:-1]
    except WordError:
        return ()
    return tuple(path for path in paths if heredoc(path) is None and not (each.word == "ADD" and _remote(path)))


def _remote(source: str) -> bool:
    """Whether ADD fetches it: a URL or a git repository."""
    return re.match(r"(?:\w+://|git@|github\.com/)", source) is not None


def _squeeze(text: str) -> str:
    return re.sub(r"[\s\\]+", " ", text).strip()
