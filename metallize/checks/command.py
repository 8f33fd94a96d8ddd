"""command: what a command prints, and the status that it ends with."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_all
from metallize.checks.decoding import ExpectedLines, ExpectedNumber
from metallize.checks.kind import Claim, Observation, ResourceKind
from metallize.checks.probing import patience
from metallize.model.kind import Milliseconds, Retrying

_TIMED_OUT = (124, 137, 143)
"""What timeout(1) of coreutils and of busybox end with when the time is over, and what the harness ends by force."""
_DEFAULT_TIMEOUT = 10_000


class CommandOptions(Retrying):
    """The attributes of one command; its key is what sh runs."""

    command: Annotated[str | None, Field(alias="exec", description="the command, where the key is a label")] = None
    exit_status: Annotated[ExpectedNumber, Field(alias="exit-status", description="what it ends with")]
    stdout: Annotated[ExpectedLines | None, Field(description="patterns, or the whole output")] = None
    stderr: Annotated[ExpectedLines | None, Field(description='patterns, or the whole output; "" for none')] = None
    timeout: Annotated[Milliseconds, Field(description="milliseconds")] = _DEFAULT_TIMEOUT


def _refuse(resource: str, options: CommandOptions) -> str | None:
    command = options.command or resource
    if not command.strip():
        return "the command is empty"
    return "a command holds no NUL byte" if "\0" in command else None


def _seconds(options: CommandOptions) -> int:
    return -(-(options.timeout or _DEFAULT_TIMEOUT) // 1000)


def _observe(resource: str, options: CommandOptions) -> str:
    run = f"sh -c {quote(options.command or resource)} </dev/null"
    # The harness may export a factor for a guest that runs slower than real hardware.
    limit = f"$(({_seconds(options)} * ${{METALLIZE_SLOWNESS:-1}}))"
    longer = patience(1000 * _seconds(options))
    return f"{longer}if command -v timeout >/dev/null; then timeout {limit} {run}; else {run}; fi"


def _compare(_resource: str, options: CommandOptions, observation: Observation) -> Iterator[Claim]:
    late = observation.status in _TIMED_OUT and observation.seconds >= _seconds(options)
    unseen = Unseen(reason=f"the command did not end within {_seconds(options)} s")
    yield from judge_all(
        (
            Attribute(
                name="exit-status",
                expected=options.exit_status,
                actual=unseen if late else observation.status,
                note=_last_line(observation.stderr),
            ),
            Attribute(name="stdout", expected=options.stdout, actual=unseen if late else observation.stdout),
            Attribute(name="stderr", expected=options.stderr, actual=unseen if late else observation.stderr),
        )
    )


def _last_line(stderr: str) -> str:
    lines = stderr.strip().splitlines()
    return f"it said: {lines[-1][:200]}" if lines else ""


KIND = ResourceKind(
    name="command",
    summary="a command's exit status and output",
    options=CommandOptions,
    example='uname -r:\n  exit-status: 0\n  stdout: ["/^[0-9]+\\\\./"]\n  stderr: ""\n',
    observe=_observe,
    compare=_compare,
    refusal=_refuse,
    aside=False,
)
