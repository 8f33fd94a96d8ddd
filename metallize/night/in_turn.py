"""Both images of a pair booted in turn on one host, of what the night keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from metallize import images, pipeline
from metallize.build.store import Stored
from metallize.catalog import Catalog
from metallize.errors import HostError, UsageError
from metallize.events import Events, Note
from metallize.model.loaded import Profile
from metallize.night import keeping
from metallize.night.attempt import Attempt, Host, Status
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
    _places: dict[str, Host] = field(default_factory=dict)
    """Where the boots for the sake of a run are made: all of them on one host."""

    def missing(self, pair: Pair) -> str:
        """Why the pair cannot be booted here; empty where it can."""
        cell = pair.attempt.cell
        if cell.name not in self.profiles:
            return f"the profile of {cell.name} was not read this time"
        for sha256, which in ((pair.before, "the last good image"), (pair.attempt.sha256, "the image")):
            if self.stored(self.profiles[cell.name], sha256) is None:
                return f"{which}, {sha256[:12]}, is there no longer"
        why = self.place(pair.attempt, pair.begun_on)
        if why:
            return why
        usual = pair.attempt.metrics.get("seconds", 0.0)
        took = f", which takes about {len(pair.order) * usual / 60:.0f} minutes" if usual else ""
        text = f"nightly: {cell} may be slower: both images are booted in turn ({pair.order}){took}"
        self.events.emit(Note(text=text))
        return ""

    def place(self, attempt: Attempt, begun_on: Host | None = None) -> str:
        """Settle where all boots for the sake of an attempt are made; why nowhere, empty where that is settled.

        Where it was made, if that host is there still; else, unless some were made already, on another of its class.
        """
        if attempt.run in self._places:
            return ""
        host = begun_on or attempt.host
        why = self.session.missing(host)
        if why and begun_on is None:
            other = self.session.stand_in(host)
            if other is not None:
                self.events.emit(Note(text=f"nightly: {why}; {other.id} is of its class and boots for it"))
                host, why = other, ""
        if not why:
            self._places[attempt.run] = host
        return why

    def boot(self, pair: Pair, number: int, sha256: str) -> Attempt:
        """One boot of one of them. Raises MetallizeError."""
        stored = self.stored(self.profiles[pair.attempt.cell.name], sha256)
        if stored is None:
            raise UsageError(f"the image {sha256[:12]} is there no longer")
        return self.booted(pair.attempt, number, stored)

    def booted(self, attempt: Attempt, number: int, stored: Stored, cut: int = 0) -> Attempt:
        """One boot of an image for the sake of an attempt, where that was made. Raises MetallizeError."""
        cell = attempt.cell
        profile = self.profiles[cell.name]
        options = replace(self.options, machines=(cell.machine,))
        build_dir = images.store_of(profile, options).build_dir
        [asked] = pipeline.requests_of(profile, self.catalog, stored, options, build_dir)
        request = replace(asked, clock=attempt.host.clock)  # how slow the host is may differ from boot to boot
        confirms = attempt.run
        work = Work(
            cell=cell,
            profile=profile,
            request=request,
            image=lambda: stored,
            sha256=stored.sha256,
            need=need_of(request),
            run=self.night.run_of(cell, number, confirms),
        )
        booted = self.session.boot(work, self._places.get(confirms, attempt.host))
        made, _ = attempt_of_report(
            self.night, cell, number, booted.report, stored.manifest, confirms=confirms, host=booted.host
        )
        if not cut and made.ready_seconds is not None and made.series != attempt.series:
            text = f"{made.host.id} is another host by now, or has another QEMU, than where it was slower"
            raise HostError(f"{text}: {made.series.host_class}")
        return replace(made, cut=cut)

    def unconfirmed(self, pair: Pair, number: int, reason: str) -> Attempt:
        """The line that says why no more boots are made."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return self.night.attempt(
            pair.attempt.cell, number, Status.SKIP, confirms=pair.attempt.run, stage="", reason=reason, started=started
        )

    def stored(self, profile: Profile, sha256: str) -> Stored | None:
        """An image by its digest, wherever it is kept; None where it is there no longer."""
        found = keeping.find(self.folder, sha256)
        if found is not None:
            return found
        store = images.store_of(profile, self.options)
        return next((each for each in (store.any(), store.kept()) if each and each.sha256 == sha256), None)
