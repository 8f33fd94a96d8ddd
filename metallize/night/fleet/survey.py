"""Who of a fleet can boot what, and what no worker can: `metallize doctor --fleet`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from metallize.catalog import Catalog
from metallize.doctor import Finding
from metallize.model.machine import Machine
from metallize.night.fleet.facts import GIB, Facts, skew, software
from metallize.night.fleet.keys import keys_in
from metallize.night.fleet.link import Link, place_of
from metallize.night.fleet.worker import words_of

_MEND = "install the same metallize and the same packages on both, and start the worker anew"


def survey(scheduler: str, keys: Path | None) -> tuple[Finding, ...]:
    """What the workers of a scheduler have told. Raises UsageError and HostError where nobody answers."""
    place = place_of(scheduler.removeprefix("dask://"))
    with closing(Link(place, None if keys is None else keys_in(keys))) as link:
        workers = link.workers()
    machines = [each.name for each in Catalog().machines.values() if isinstance(each, Machine)]
    return tuple(findings_of(workers, machines, software()))


def findings_of(workers: Mapping[str, Facts], machines: list[str], ours: Mapping[str, str]) -> Iterator[Finding]:
    """A line for each worker, then one for each thing that some cell may ask. Pure."""
    usable = {address: facts for address, facts in workers.items() if not skew(facts, ours)}
    if not usable:
        detail = "none is there" if not workers else "none runs what this host runs"
        yield Finding(subject="workers", fine=False, detail=detail, mend="metallize worker SCHEDULER, on each host")
    for address, facts in sorted(workers.items(), key=lambda item: (item[1].host.id, item[0])):
        other = skew(facts, ours)
        detail = f"{other}: it gets no cell" if other else words_of(facts)
        mend = _MEND if other else ""
        yield Finding(
            subject=f"worker {facts.host.id} at {address}", fine=not other, detail=detail, mend=mend, needed=False
        )
    for name in machines:
        hosts = {facts.host.id for facts in usable.values() if name in facts.machines}
        yield _who(
            f"machine {name}", hosts, "install its emulator and firmware on one: metallize doctor there tells more"
        )
    yield _who("KVM", {facts.host.id for facts in usable.values() if facts.kvm}, "cells with --accel kvm have nobody")
    yield _who("a TPM", {facts.host.id for facts in usable.values() if facts.tpm}, "sudo apt-get install swtpm on one")
    if usable:
        largest = max(usable.values(), key=lambda facts: (facts.memory_bytes, facts.host.id))
        detail = f"a guest may have up to {largest.memory_bytes / GIB:.1f} GiB, on {largest.host.id}"
        yield Finding(subject="memory", fine=True, detail=detail)


def _who(subject: str, hosts: set[str], mend: str) -> Finding:
    if hosts:
        return Finding(subject=subject, fine=True, detail=", ".join(sorted(hosts)))
    return Finding(subject=subject, fine=False, detail="no worker can", mend=mend, needed=False)
