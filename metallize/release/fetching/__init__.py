"""A release as whoever fetches it sees it: over HTTP, from a server that is not believed."""

from __future__ import annotations

import importlib
from pathlib import Path

from metallize.events import Events
from metallize.model.loaded import Profile


def with_release_before(profile: Profile, build_dir: Path, events: Events) -> Profile:
    """The same profile; where `boot.update.from` names releases, with an image of the one before in their place.

    What fetches it is imported where it is needed: it takes longer than all else that a build imports. Raises as
    `before.with_release_before` does.
    """
    update = profile.boot.update if profile.boot is not None else None
    if update is None or not _names_releases(update.before):
        return profile
    found = importlib.import_module(f"{__name__}.before").with_release_before(profile, build_dir, events)
    assert isinstance(found, Profile)  # noqa: S101 - a module that is imported by name has no types
    return found


def _names_releases(text: str) -> bool:
    """Whether it means releases, and not an image's file."""
    return text.startswith(("http://", "https://")) or Path(text).is_dir()
