"""What the plugin does in a run that names a profile or an image: the hooks, registered for that run only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from metallize.build.secrets.given import given_of
from metallize.catalog import Catalog
from metallize.errors import MetallizeError
from metallize.events import Event, Level, Note, StepFinished, StepStarted
from metallize.pytest_plugin import fixtures, is_profile
from metallize.pytest_plugin.boots import Guests
from metallize.pytest_plugin.collect import COLLECTED, GUESTS, GossFile, GuestItem, TargetFile, guest_items, words
from metallize.pytest_plugin.targets import Settings, Target, profile_file, require_meant, targets_of

_SUITES_FOLDER = "boot-tests"


def start(config: pytest.Config, named: Sequence[Path]) -> None:
    """Read what is named, and register the hooks and the fixtures. Raises pytest.UsageError with every problem."""
    catalog = Catalog()
    folder = config.invocation_params.dir
    option = config.getoption
    profiles = [profile_file(catalog, name, folder) for name in option("metallize_profiles", None) or ()]
    try:
        settings = Settings(
            profiles=tuple(dict.fromkeys(path.resolve() for path in (*named, *profiles))),
            images=tuple(dict.fromkeys((folder / name).resolve() for name in option("metallize_images", None) or ())),
            machines=tuple(option("metallize_machines", None) or ()),
            accel=option("metallize_accel", "auto"),
            build_dir=_path(option("metallize_build_dir", None), folder),
            user=option("metallize_user", None),
            password=option("metallize_password", None),
            given=given_of(option("metallize_secrets", None) or (), option("metallize_ssh", None) or ()),
        )
        targets = targets_of(settings, catalog)
        require_meant(settings, targets, catalog)
    except MetallizeError as exc:
        raise pytest.UsageError(f"{exc.message}\n  next: {exc.hint}" if exc.hint else exc.message) from None
    guests = Guests(settings, catalog, _Progress(config))
    config.add_cleanup(guests.close)
    config.stash[GUESTS] = guests
    config.stash[COLLECTED] = set()
    config.pluginmanager.register(Session(config, settings, catalog, targets), "metallize-session")
    config.pluginmanager.register(fixtures, "metallize-fixtures")


def _path(name: str | None, folder: Path) -> Path | None:
    return None if name is None else folder / name


class Session:
    """The hooks of one run."""

    def __init__(
        self, config: pytest.Config, settings: Settings, catalog: Catalog, targets: tuple[Target, ...]
    ) -> None:
        self._settings = settings
        self._catalog = catalog
        self.targets = targets
        self._order = {target.name: number for number, target in enumerate(targets)}
        if not any("::" in arg for arg in config.args):
            # what --profile and --image name is to be proven, whatever else is run
            given = {(config.invocation_params.dir / arg).resolve() for arg in config.args}
            inside = [*settings.profiles, *settings.images]
            config.args += [str(path) for path in inside if path not in given and path.parent not in _folders(given)]

    @cached_property
    def _vocabulary(self) -> Any:
        return self._catalog.vocabulary()

    def pytest_report_header(self) -> str:
        return f"metallize: {', '.join(target.name for target in self.targets)}"

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Profiles and images that were named, goss files wherever they are collected."""
        path = file_path.resolve()
        if path in self._settings.profiles or path in self._settings.images:
            outside = not file_path.is_relative_to(parent.config.rootpath)  # pytest gives it no name: a shipped profile
            node = TargetFile.from_parent(parent, path=file_path, nodeid=file_path.name if outside else None)
            node.targets = [target for target in self.targets if target.source == path]
            return node
        if not self._is_goss(file_path, parent):
            return None
        suite = GossFile.from_parent(parent, path=file_path)
        suite.targets, suite.vocabulary = self.targets, self._vocabulary
        suite.is_library = file_path.parent.name == _SUITES_FOLDER and not parent.session.isinitpath(file_path)
        return suite

    def _is_goss(self, path: Path, parent: pytest.Collector) -> bool:
        if path.suffix not in {".yaml", ".yml"}:
            return False
        named = path.stem == "goss" or path.stem.endswith(".goss") or path.parent.name == _SUITES_FOLDER
        return named or (parent.session.isinitpath(path) and not is_profile(path))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test function that uses a guest is run on every target."""
        if "metallize_target" in metafunc.fixturenames:
            targets = [target for target in self.targets if not target.refused]
            names = [target.name for target in targets]
            metafunc.parametrize("metallize_target", targets, ids=names, indirect=True, scope="session")

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Target by target, so that each boots once."""
        if len(self.targets) > 1:
            bound = [number for number, item in enumerate(items) if target_of(item) is not None]
            ordered = sorted((items[number] for number in bound), key=self._place)
            for number, moved in zip(bound, ordered, strict=True):
                items[number] = moved

    def _place(self, item: pytest.Item) -> int:
        target = target_of(item)
        return self._order[target.name] if target is not None else 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """The first boot of a target observes all that is asked of it."""
        items = guest_items(session.items)
        for target in self.targets:
            asked = [item.assertion for item in items if item.target is target and item.assertion is not None]
            session.config.stash[GUESTS].expect(target, asked)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """A guest ends with the last test that needs it, not with the run: other processes may wait for its room."""
        guests = item.config.stash[GUESTS]
        if nextitem is None:
            guests.close()
        elif (target := target_of(nextitem)) is not None:
            guests.leave(target)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """With pytest-xdist's own default, all that needs one guest goes to one worker."""
        if config.getoption("dist", "no") != "load":
            return None
        from metallize.pytest_plugin.scheduling import by_target  # noqa: PLC0415 - where xdist is installed

        return by_target(config, log, [target.name for target in self.targets])


def target_of(item: pytest.Item) -> Target | None:
    """The target that an item needs, if it needs one."""
    if isinstance(item, GuestItem):
        return item.target
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("metallize_target") if callspec is not None else None
    return found if isinstance(found, Target) else None


def _folders(given: set[Path]) -> set[Path]:
    return {path for path in given if path.is_dir()}


class _Progress:
    """Shows what takes long, where there is a terminal to show it on: not in a worker of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def emit(self, event: Event, /) -> None:
        verbose = self._config.get_verbosity()
        match event:
            case Note() if verbose >= 0 or event.level is Level.WARNING:
                self._say(event.text)
            case StepStarted() if verbose > 0 or (verbose == 0 and event.step.startswith(("verify", "image"))):
                self._say(event.title)
            case StepFinished() if verbose > 0:
                self._say(f"{event.title}: {event.outcome} after {event.seconds:.1f} s {event.detail}".rstrip())
            case _:
                pass

    def _say(self, text: str) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        capture = self._config.pluginmanager.get_plugin("capturemanager")
        if terminal is None:
            return
        if capture is None:
            terminal.write_line(f"metallize: {text}")
            return
        with capture.global_and_fixture_disabled():
            terminal.ensure_newline()
            terminal.write_line(f"metallize: {text}")


__all__ = ["Session", "start", "words"]
