"""Why a way into the guest does not work, as whoever has found another way in sees it: one round trip for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from metallize.guest import Shell
from metallize.model.boot import Login, parse_reach_target
from metallize.model.report import Result
from metallize.verify.judge import because
from metallize.verify.looks.observer import Observer
from metallize.verify.why.login import explain_no_login, explain_no_prompt, explain_refusal, login_probes
from metallize.verify.why.ssh import PROBES, SOCKETS_PROBE, explain_reach, explain_ssh

SHOWN_LINES = 40
"""Of each probe's output."""


def ssh_reason(observer: Observer, shell: Shell | None, problem: str, diagnosis: list[str]) -> str:
    """Why SSH does not work; what was seen replaces the lines of `diagnosis`. Raises GuestFailed."""
    if shell is None:
        return problem
    answer = observer.run(shell, tuple(PROBES.values()))
    seen = dict(zip(PROBES, answer.observations, strict=True))
    diagnosis.clear()
    for name, observation in seen.items():
        if observation is not None and observation.stdout.strip():
            lines = observation.stdout.strip().splitlines()[:SHOWN_LINES]
            diagnosis += [f"{name}:", *(f"  {line}" for line in lines)]
    return explain_ssh(seen, problem)


def login_reason(observer: Observer, shell: Shell | None, login: Login | None, port: str) -> str:
    """Why nobody can log in on the serial port; empty where another shell sees no reason. Raises GuestFailed."""
    if login is None or shell is None or shell.name == "serial":
        return ""
    probes = login_probes(port, login.user)
    seen = dict(zip(probes, observer.run(shell, tuple(probes.values())).observations, strict=True))
    return explain_no_login(seen, port) or explain_no_prompt(seen, port) or explain_refusal(seen, login.user)


def with_reach_reasons(
    observer: Observer, shell: Shell | None, results: Sequence[Result], targets: Iterable[str]
) -> list[Result]:
    """The results of boot.reach, each target's in its order; one that does not hold gets its reason."""
    if shell is None or all(result.holds for result in results):
        return list(results)
    [seen] = observer.run(shell, (SOCKETS_PROBE,)).observations
    sockets = seen.stdout if seen is not None else ""
    return [
        because(result, explain_reach(sockets, parse_reach_target(target).port))
        for result, target in zip(results, targets, strict=True)
    ]
