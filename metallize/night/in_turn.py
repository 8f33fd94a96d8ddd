"""Both images of a pair booted in turn on one host, of what the night keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from metallize import images, pipeline
from metallize.build.store import Stored
from metallize.catalog import Catalog
from metallize.errors import UsageError
from metallize.events import Events, Note
from metallize.model.loaded import Profile
from metallize.night import keeping
from metallize.night.attempt import Attempt, Status
from metallize.night.executors import Session, Work
from metallize.night.gather import Night, attempt_of_report
from metallize.night.judging.pace import Pair
from metallize.verify.machine import need_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OfOneHost:
    """The boots that confirm or clear a suspicion of this night, on the host on which it arose."""

    session: Session
    catalog: Catalog
    events: Events
    options: pipeline.Options
    night: Night
    folder: Path
    """Where images are kept."""
    profiles: Mapping[str, Profile]
    """Those that this night has read, by the names of their cells."""

    def missing(self, pair: Pair) -> str:
        """Why the pair cannot be booted here; empty where it can."""
        cell = pair.attempt.cell
        if cell.name not in self.profiles:
            return f"the profile of {cell.name} was not read this time"
        for sha256, which in ((pair.before, "the last good image"), (pair.attempt.sha256, "the image")):
            if self._stored(self.profiles[cell.name], sha256) is None:
                return f"{which}, {sha256[:12]}, is there no longer"
        why = self.session.missing(pair.attempt.host)
        if why:
            return why
        usual = pair.attempt.metrics.get("seconds", 0.0)
        took = f", which takes about {len(pair.order) * usual / 60:.0f} minutes" if usual else ""
        text = f"nightly: {cell} may be slower: both images are booted in turn ({pair.order}){took}"
        self.events.emit(Note(text=text))
        return ""

    def boot(self, pair: Pair, number: int, sha256: str) -> Attempt:
        """One boot of one of them. Raises MetallizeError."""
        cell = pair.attempt.cell
        profile = self.profiles[cell.name]
        stored = self._stored(profile, sha256)
        if stored is None:
            raise UsageError(f"the image {sha256[:12]} is there no longer")
        options = replace(self.options, machines=(cell.machine,))
        build_dir = images.store_of(profile, options).build_dir
        [request] = pipeline.requests_of(profile, self.catalog, stored, options, build_dir)
        confirms = pair.attempt.run
        work = Work(
            cell=cell,
            profile=profile,
            request=request,
            image=lambda: stored,
            sha256=sha256,
            need=need_of(request),
            run=self.night.run_of(cell, number, confirms),
        )
        booted = self.session.boot(work, pair.attempt.host)
        attempt, _ = attempt_of_report(
            self.night, cell, number, booted.report, stored.manifest, confirms=confirms, host=booted.host
        )
        return attempt

    def unconfirmed(self, pair: Pair, number: int, reason: str) -> Attempt:
        """The line that says why no more boots are made."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return self.night.attempt(
            pair.attempt.cell, number, Status.SKIP, confirms=pair.attempt.run, stage="", reason=reason, started=started
        )

    def _stored(self, profile: Profile, sha256: str) -> Stored | None:
        found = keeping.find(self.folder, sha256)
        if found is not None:
            return found
        store = images.store_of(profile, self.options)
        return next((each for each in (store.any(), store.kept()) if each and each.sha256 == sha256), None)
