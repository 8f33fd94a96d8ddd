"""Whether what is to be published has failed before: bytes that failed and passed are flaky, and stay here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from metallize.errors import VerificationFailed
from metallize.night import index
from metallize.night.attempt import Attempt, Status
from metallize.night.judging.findings import day
from metallize.night.outcomes import Outcome, cell_nights, rate_of


def flakes_of(attempts: Iterable[Attempt], image: str) -> tuple[str, ...]:
    """What an image's own attempts have against it: where the very bytes have failed, and how often. Pure."""
    some = tuple(attempts)
    found = []
    for cell in sorted({each.cell for each in some if each.status is Status.FAIL}):
        own = [each for each in some if each.cell == cell]
        last = max((each for each in own if each.status is Status.FAIL), key=lambda each: (each.night, each.attempt))
        rate = rate_of(cell_nights(own), Outcome.FAIL, Outcome.FLAKY)
        found.append(
            f"{image} is flaky on {cell.machine}: these bytes failed in {rate} of the nights, last in that of "
            f"{day(last.night)} ({last.reason})"
        )
    return tuple(found)


def require_steady(build_dir: Path, images: Mapping[str, str], accepted: str | None) -> dict[str, tuple[str, ...]]:
    """What is flaky of some images and was accepted, by digest. `images` are names by digest, `accepted` the issue.

    Raises VerificationFailed where the history says that one of them has failed, and nobody accepts it.
    """
    with index.opened(build_dir) as opened:
        found = {sha256: flakes_of(opened.of_image(sha256), name) for sha256, name in images.items()}
    told = [text for texts in found.values() for text in texts]
    if told and accepted is None:
        raise VerificationFailed(
            f"{'; '.join(told)}",
            hint="find out why; or accept it, which the release and its statement tell: --accept-flaky ISSUE",
        )
    return {
        sha256: tuple(f"night.flaky: {text}; accepted as {accepted}" for text in texts)
        for sha256, texts in found.items()
        if texts
    }
