"""A VOLUME on a path that is a file: neither Docker nor a build makes a container of such an image.

Only a built rootfs knows what is a file, so the engine finds it. Source: moby, daemon/create_unix.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from posixpath import normpath

from metallize.build.dockerfile.grammar import path_words
from metallize.build.dockerfile.words import WordError
from metallize.build.plan import LayerBuild
from metallize.errors import LayerError

_REFUSED = re.compile(
    r"cannot mount volume over existing file, file exists (?:\S*?/[0-9a-f]{64}(?:/merged)?(?=/))?(.+)"
)
"""The path is the host's: that of the engine's own folder for the container comes first."""


def refusal(lines: Iterable[str], layers: Sequence[LayerBuild]) -> LayerError | None:
    """Why the engine made no container, in our words and with the VOLUME's place, if that is why."""
    found = next((match[1] for line in lines if (match := _REFUSED.search(line))), None)
    if found is None:
        return None
    path = found.removesuffix(".")  # docker-run(1) ends the engine's words as a sentence
    every = list(_volumes(layers))
    exact = [place for place, volume in every if volume == path]
    # Else by a variable or a symbolic link, or the base image says it.
    places = exact or [place for place, _ in every]
    where = f"{', '.join(places)}: " if places else ""
    whose = "take it out of VOLUME" if places else "the base image says so: take another one"
    return LayerError(
        f"{where}VOLUME is on {path}, which is a file, and a volume is a folder: Docker makes no container of it",
        hint=f"{whose}; the booted system keeps the file without it",
    )


def _volumes(layers: Sequence[LayerBuild]) -> Iterator[tuple[str, str]]:
    """Place and path of each."""
    for layer in layers:
        for each in layer.runtime_only:
            if each.word == "VOLUME":
                try:
                    paths = path_words(each.arguments)
                except WordError:
                    paths = ()
                for path in paths:
                    yield f"{layer.dockerfile}:{each.line}", normpath(f"/{path}").replace("//", "/")
