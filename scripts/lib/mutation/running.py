"""Mutants against the tests of their module, each in a forked child of a process that has imported and collected all.

A mutant within a function exchanges the code of the function that the tests hold already. One outside of functions, and
one that survived so, runs again in a child that imports the mutated module before pytest and the package.
"""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
import time
import types
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path

import pytest

from mutation.mutants import Mutant, mutants, walk_code

LANES = 2
LEAST_SECONDS = 30.0
TIMES_SLOWER = 6
"""A mutant that takes so many times what the tests take unchanged runs for ever."""
_POLL_SECONDS = 0.005
_SURVIVED, _KILLED = 0, 1


class TestsFailError(Exception):
    """The tests fail without any mutant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A module and the tests that hold it to what it decides."""

    module: str
    tests: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A module, all its mutants, and those that no test noticed."""

    module: str
    mutants: tuple[Mutant, ...]
    survivors: tuple[Mutant, ...]

    @property
    def score(self) -> float:
        """How much of the mutants was killed, in per cent."""
        return 100.0 * (len(self.mutants) - len(self.survivors)) / len(self.mutants) if self.mutants else 100.0


def run_target(target: Target, root: Path, *, only: Sequence[Mutant] | None = None) -> Outcome:
    """All mutants of one module. Raises TestsFailError where the tests fail already."""
    path = root.joinpath(*target.module.split(".")).with_suffix(".py")
    source = path.read_text()
    every = tuple(only) if only is not None else mutants(source)
    with tempfile.TemporaryDirectory(prefix="metallize-mutation-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)  # some tests run as nobody
        began = time.monotonic()
        _fork_and_wait(lambda: _collect_and_run(target, path, source, every, folder), folder / "out")
        if not (folder / "unchanged").exists():
            raise TestsFailError(f"{target.module}: the tests fail unchanged:\n{(folder / 'out').read_text()[-4000:]}")
        limit = max(LEAST_SECONDS, TIMES_SLOWER * (time.monotonic() - began if not every else _seconds(folder)))
        first = {int(name.name) for name in (folder / "survived").iterdir()}
        again = [index for index in range(len(every)) if index in first]
        left = _in_lanes(
            again, lambda index: _fresh(target, path, every[index].applied(source)), folder, limit + LEAST_SECONDS
        )
    return Outcome(module=target.module, mutants=every, survivors=tuple(every[index] for index in sorted(left)))


def _seconds(folder: Path) -> float:
    return float((folder / "unchanged").read_text())


def _collect_and_run(target: Target, path: Path, source: str, every: Sequence[Mutant], folder: Path) -> int:
    (folder / "survived").mkdir()
    plugin = _Loop(target, path, source, every, folder)
    return int(pytest.main([*_OPTIONS, *target.tests], plugins=[plugin]))


_OPTIONS = [
    *("-q", "-x", "-s", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # what is imported already stays imported
    *("-m", "not docker and not boot and not slow"),
]


class _Loop:
    """In pytest's place it runs the collected tests once for each mutant."""

    def __init__(self, target: Target, path: Path, source: str, every: Sequence[Mutant], folder: Path) -> None:
        self._target, self._path, self._source, self._every, self._folder = target, path, source, every, folder

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed or not session.items:
            return True
        importlib.import_module(self._target.module)
        began = time.monotonic()
        if _in_lanes([0], lambda _: self._run(session, None), self._folder, 600.0) != [0]:
            # once more where it can be read
            _fork_and_wait(lambda: self._run(session, None), self._folder / "out")
            return True
        seconds = time.monotonic() - began
        (self._folder / "unchanged").write_text(str(seconds))
        swapped = [index for index, mutant in enumerate(self._every) if mutant.outermost]
        limit = max(LEAST_SECONDS, TIMES_SLOWER * seconds)
        left = _in_lanes(swapped, lambda index: self._run(session, self._every[index]), self._folder, limit)
        for index in [*left, *(index for index, mutant in enumerate(self._every) if not mutant.outermost)]:
            (self._folder / "survived" / str(index)).touch()
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            print(f"\n{report.nodeid}: {report.longreprtext}")

    def _run(self, session: pytest.Session, mutant: Mutant | None) -> int:
        if mutant is not None:
            _exchange(mutant, self._path, self._source)
        killers = self._folder / "killers"
        killers.mkdir(exist_ok=True)
        counts = {name.name: name.stat().st_size for name in killers.iterdir()}
        order = sorted(range(len(session.items)), key=lambda index: -counts.get(str(index), 0))
        items = [session.items[index] for index in order]
        for place, item in enumerate(items):
            following = items[place + 1] if place + 1 < len(items) else None
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed:
                if mutant is not None:
                    with (killers / str(order[place])).open("a") as tally:
                        tally.write("x")
                return _KILLED
        return _SURVIVED


def _exchange(mutant: Mutant, path: Path, source: str) -> None:
    """Every function of that name in that file gets the mutated code, whoever holds it."""
    mutated = compile(mutant.applied(source), str(path), "exec", dont_inherit=True)
    [*codes] = [code for code in walk_code(mutated, mutant.outermost) if isinstance(code, types.CodeType)]
    for found in gc.get_objects():
        if not isinstance(found, types.FunctionType) or found.__code__.co_filename != str(path):
            continue
        if found.__code__.co_qualname == mutant.outermost:
            for code in codes:
                with suppress(ValueError):  # another function of that name, with other free variables
                    found.__code__ = code


def _fresh(target: Target, path: Path, text: str) -> int:
    """The mutated module is imported first, then pytest collects and runs all."""

    class Mutated(importlib.machinery.SourceFileLoader):
        def get_code(self, _fullname: str) -> types.CodeType:
            return compile(text, str(path), "exec", dont_inherit=True)

    class Finder(MetaPathFinder):
        def find_spec(
            self, fullname: str, _path: Sequence[str] | None, _target: types.ModuleType | None = None
        ) -> importlib.machinery.ModuleSpec | None:
            if fullname != target.module:
                return None
            return importlib.util.spec_from_file_location(fullname, path, loader=Mutated(fullname, str(path)))

    sys.meta_path.insert(0, Finder())
    importlib.import_module(target.module)
    return int(pytest.main([*_OPTIONS, *target.tests]))


def _in_lanes(indices: Sequence[int], act: Callable[[int], int], folder: Path, limit: float) -> list[int]:
    """Runs `act` for each in a child of its own, LANES at a time; those whose child ended well."""
    waiting, well = list(indices), []
    running: dict[int, tuple[int, Path, float]] = {}
    while waiting or running:
        while waiting and len(running) < LANES:
            index = waiting.pop(0)
            scratch = Path(tempfile.mkdtemp(dir=folder))
            scratch.chmod(0o711)
            running[_fork(lambda index=index: act(index), scratch)] = (index, scratch, time.monotonic())  # type: ignore[misc]
        time.sleep(_POLL_SECONDS)
        for child, (index, scratch, began) in list(running.items()):
            ended, status = os.waitpid(child, os.WNOHANG)
            if not ended and time.monotonic() - began < limit:
                continue
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # what it started too
            if not ended:
                os.waitpid(child, 0)
            elif os.waitstatus_to_exitcode(status) == _SURVIVED:
                well.append(index)
            del running[child]
            shutil.rmtree(scratch, ignore_errors=True)
    return well


def _fork_and_wait(act: Callable[[], int], out: Path) -> None:
    os.waitpid(_fork(act, out.parent, out), 0)


def _fork(act: Callable[[], int], scratch: Path, out: Path | None = None) -> int:
    """A child with a process group and a temporary folder of its own; its number."""
    child = os.fork()
    if child:
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(child, child)
        return child
    status = _KILLED
    try:
        os.setpgid(0, 0)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = str(scratch)
        tempfile.tempdir = None
        said = os.open(out or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        status = act()
    except BaseException as exc:  # noqa: BLE001 - a mutant may raise anything; the child ends here in any case
        sys.stderr.write(f"{exc!r}\n")
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
