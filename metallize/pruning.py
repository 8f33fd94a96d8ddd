"""What a build folder and the engine could be rid of, with what it frees, and how it goes.

Never what a running process holds, what an image's record names as its evidence, the newest runs, or the last that
passed. Nothing is written: it works on a full disk, and with no engine for all but the layers' tags.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from metallize.build.engines import buildkit, endpoint, orphans
from metallize.build.steps import SEALED_IMAGE
from metallize.command import run
from metallize.errors import CommandError, HostError
from metallize.host import holders
from metallize.inventory import KEPT, PRIVATE, evidence_of, layer_tags_of
from metallize.report.runs import REPORT, Run, find_runs

_YOUNG = timedelta(hours=1)
"""A run with no verdict may be one that has just begun, of a user whose processes we may not look at."""
_ENGINE_LIMIT = timedelta(seconds=60)
"""An engine that says nothing for so long does not answer."""
_LAYERS = "metallize/*"
_NO_LAYERS = ("metallize/base-", f"{SEALED_IMAGE}:")


class What(StrEnum):
    """Kinds of what can go."""

    RUN = "run"
    KEPT = "kept image"
    WORK = "what a killed build left"
    CONTAINER = "a killed build's container"
    SEALED = "a killed build's rootfs"
    LAYER = "layer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What stays."""

    runs: int = 10
    """So many of each profile on each machine."""
    age: timedelta = timedelta(days=14)
    """Images that are kept aside, and layers' tags, stay so long."""
    evidence: frozenset[Path] = frozenset()
    """Run folders, resolved, that stay whatever their number: the night wants them (metallize.night.retention)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One thing that can go."""

    what: What
    name: str
    """Its path, its tag, or its id."""
    why: str
    frees_bytes: int
    """On the disk; of a layer its whole size, of which others may share a part; of a container or a sealed
    rootfs it is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One thing that would go but for a process."""

    name: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What goes, and what stays that would have gone."""

    candidates: tuple[Candidate, ...] = ()
    held: tuple[Held, ...] = ()


def surplus_runs(runs: Sequence[Run], keep: int, evidence: frozenset[Path]) -> tuple[Run, ...]:
    """The runs beyond the newest, but for the last that passed and what an image's record names; pure.

    `runs` are sorted, the newest first.
    """
    by_machine: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for each in runs:
        by_machine[each.profile, each.machine].append(each)
    found: list[Run] = []
    for same in by_machine.values():
        passed = next((each for each in same if each.passed), None)
        found += [each for each in same[keep:] if each is not passed and each.folder.resolve() not in evidence]
    return tuple(found)


def of_runs(build_dir: Path, limits: Limits, now: datetime) -> Pruning:
    """The runs that can go."""
    surplus = surplus_runs(find_runs(build_dir), limits.runs, evidence_of(build_dir) | limits.evidence)
    busy = holders.now().within(each.folder for each in surplus)
    candidates: list[Candidate] = []
    held: list[Held] = []
    for each in surplus:
        if each.folder in busy:
            held.append(Held(name=str(each.folder), by="a running process holds it"))
        elif each.verdict is None and now - _touched(each.folder) < _YOUNG:
            held.append(Held(name=str(each.folder), by="it has no verdict yet and may be under way"))
        else:
            why = f"older than the newest {limits.runs} of {each.profile} on {each.machine}"
            candidates.append(
                Candidate(what=What.RUN, name=str(each.folder), why=why, frees_bytes=disk_bytes(each.folder))
            )
    return Pruning(candidates=tuple(candidates), held=tuple(held))


def of_images(build_dir: Path, limits: Limits, now: datetime) -> Pruning:
    """Images that were put aside long ago, and the work folders of builds that were killed."""
    private = build_dir / PRIVATE
    kept = [folder for folder in sorted(private.glob(f"*{KEPT}")) if folder.is_dir() and not folder.is_symlink()]
    old = [folder for folder in kept if now - _touched(folder) >= limits.age]
    work = [folder for folder in sorted(private.glob("*.work-*")) if folder.is_dir() and not folder.is_symlink()]
    busy = holders.now().within([*old, *work])
    candidates: list[Candidate] = []
    held: list[Held] = []
    for folder in (*old, *work):
        file = folder.name.removesuffix(KEPT) if folder in old else folder.name.rpartition(".work-")[0]
        with _alone(private, file) as alone:
            if folder in busy or not alone:
                held.append(
                    Held(name=str(folder), by="a running process holds it" if alone else f"a build of {file} holds it")
                )
                continue
        days = (now - _touched(folder)).days
        what, why = (What.KEPT, f"put aside {days} days ago") if folder in old else (What.WORK, "nobody builds it")
        candidates.append(Candidate(what=what, name=str(folder), why=why, frees_bytes=disk_bytes(folder)))
    return Pruning(candidates=tuple(candidates), held=tuple(held))


def of_containers(build_dir: Path, limits: Limits, now: datetime) -> Pruning:
    """Containers and sealed rootfs whose builder is gone. Raises EngineError where no engine answers."""
    del build_dir, limits, now  # nothing of it is ever needed again
    client, _ = endpoint.connect()
    with closing(client):
        try:
            found = orphans.find_orphans(client)
        except endpoint.FAILURES as exc:
            raise endpoint.failed("listing containers", exc) from exc
    return Pruning(candidates=tuple(_orphaned(each) for each in found))


def _orphaned(orphan: orphans.Orphan) -> Candidate:
    if orphan.is_image:
        return Candidate(what=What.SEALED, name=orphan.name, why="its builder is gone", frees_bytes=0)
    why = f"{orphan.image}: its builder is gone{', and it still runs' if orphan.running else ''}"
    return Candidate(what=What.CONTAINER, name=orphan.id[:12], why=why, frees_bytes=0)


def of_layers(build_dir: Path, limits: Limits, now: datetime) -> Pruning:
    """Tags of layers that no image here stands on, the newest of each layer left out.

    Raises EngineError, HostError or CommandError where no engine answers.
    """
    if _builds_under_way():
        return Pruning(held=(Held(name="the layers' tags", by="a build is under way"),))
    used = layer_tags_of(build_dir)
    found = tags_of(run([buildkit.find_cli().path, *_LIST], timeout=_ENGINE_LIMIT).stdout)
    return Pruning(candidates=tuple(surplus_tags(found, used, limits, now)))


_LIST = (
    "image",
    "ls",
    "--filter",
    f"reference={_LAYERS}",
    "--format",
    "{{.Repository}}:{{.Tag}}\t{{.CreatedAt}}\t{{.Size}}",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag of ours in the engine."""

    name: str
    created: datetime
    size_bytes: int


def surplus_tags(tags: Sequence[Tag], used: frozenset[str], limits: Limits, now: datetime) -> Iterator[Candidate]:
    """The tags that can go: old, used by no image here, and not the newest of its layer; pure."""
    newest: dict[str, Tag] = {}
    for tag in tags:
        layer = tag.name.rpartition(":")[0]
        if layer not in newest or tag.created > newest[layer].created:
            newest[layer] = tag
    for tag in sorted(tags, key=lambda tag: tag.name):
        old = now - tag.created >= limits.age
        if old and tag.name not in used and tag not in newest.values() and not tag.name.startswith(_NO_LAYERS):
            why = f"made {(now - tag.created).days} days ago, and no image here stands on it"
            yield Candidate(what=What.LAYER, name=tag.name, why=why, frees_bytes=tag.size_bytes)


def tags_of(text: str) -> tuple[Tag, ...]:
    """What `docker image ls` prints; a line that is otherwise, or a date that the engine does not know, is left out."""
    found = []
    for line in text.splitlines():
        name, _, rest = line.partition("\t")
        created, _, size = rest.partition("\t")
        try:
            date = datetime.strptime(" ".join(created.split()[:3]), "%Y-%m-%d %H:%M:%S %z")
        except ValueError:
            continue
        if name and not name.endswith(":<none>") and date.year > 1:
            found.append(Tag(name=name, created=date.astimezone(UTC), size_bytes=_bytes(size)))
    return tuple(found)


_UNITS: Mapping[str, int] = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "B": 1}


def _bytes(text: str) -> int:
    """Of what Docker prints: `119.8MB`."""
    for unit, factor in _UNITS.items():
        number = text.removesuffix(unit)
        if number != text:
            try:
                return int(float(number) * factor)
            except ValueError:
                return 0
    return 0


def remove(candidate: Candidate, build_dir: Path) -> str | None:
    """Have it gone; why it stayed, where a process took hold of it meanwhile.

    Raises HostError where it cannot be removed.
    """
    if candidate.what in (What.LAYER, What.SEALED):
        return _untag(candidate.name)
    if candidate.what is What.CONTAINER:
        _end(candidate.name)
        return None
    folder = Path(candidate.name)
    file = folder.name.removesuffix(KEPT) if candidate.what is What.KEPT else folder.name.rpartition(".work-")[0]
    with _alone(build_dir / PRIVATE, "" if candidate.what is What.RUN else file) as alone:
        if not alone:
            return f"a build of {file} holds it"
        if holders.now().within([folder]):
            return "a running process holds it"
        try:
            (folder / REPORT).unlink(missing_ok=True)  # first: what is left of it must tell of no verdict
            shutil.rmtree(folder)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise HostError(
                f"{folder} cannot be removed: {exc.strerror or exc}", hint="see its owner and rights"
            ) from exc
    return None


def _untag(tag: str) -> str | None:
    """Remove a tag, and what nothing else stands on; never by force, which would take it from a container."""
    try:
        run([buildkit.find_cli().path, "image", "rm", tag], timeout=_ENGINE_LIMIT)
    except CommandError as exc:
        if "No such image" in exc.output_tail:
            return None
        if "is using" in exc.output_tail or "being used" in exc.output_tail:
            return "a container holds it"
        raise
    return None


def _end(container: str) -> None:
    """End and remove a container; one that is gone by now is as good."""
    try:
        run([buildkit.find_cli().path, "container", "rm", "--force", "--volumes", container], timeout=_ENGINE_LIMIT)
    except CommandError as exc:
        if "No such container" not in exc.output_tail and "already in progress" not in exc.output_tail:
            raise


@contextmanager
def _alone(private: Path, file: str) -> Iterator[bool]:
    """Whether nobody builds this image, and while the body runs nobody can: the lock of metallize.build.store."""
    if not file:
        yield True
        return
    try:
        number = os.open(private / f"{file}.lock", os.O_RDONLY | os.O_CLOEXEC)  # not made: the disk may be full
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(number)


def _builds_under_way() -> bool:
    """Whether a process, of whatever build folder, has a build's lock open."""
    return any(path.suffix == ".lock" and path.parent.name == PRIVATE for path in holders.now().paths)


def _touched(folder: Path) -> datetime:
    """When something in a folder, or the folder, changed last."""
    latest = 0.0
    for path in (folder, *_inside(folder)):
        try:
            latest = max(latest, path.lstat().st_mtime)
        except OSError:
            continue
    return datetime.fromtimestamp(latest, UTC)


def disk_bytes(folder: Path) -> int:
    """What a folder takes on the disk; holes take nothing, and what is linked elsewhere stays there."""
    total = 0
    for path in (folder, *_inside(folder)):
        try:
            info = path.lstat()
        except OSError:
            continue
        total += info.st_blocks * 512 if path.is_dir() or info.st_nlink == 1 else 0
    return total


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.rglob("*"))
    except OSError:
        return []
