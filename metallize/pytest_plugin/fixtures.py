"""The fixtures, there in every run that names a profile or an image."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from metallize.errors import MetallizeError
from metallize.model.loaded import Profile
from metallize.model.machine import Machine
from metallize.pytest_plugin.api import Console, Guest, GuestError, Qmp, Shell
from metallize.pytest_plugin.collect import GUESTS, words
from metallize.pytest_plugin.targets import Target


@pytest.fixture(scope="session")
def metallize_target(request: pytest.FixtureRequest) -> Target:
    """One image on one machine; every test that uses a guest is run on each."""
    target = getattr(request, "param", None)
    if not isinstance(target, Target):
        raise pytest.UsageError("a guest is had in test functions, not in fixtures of a wider scope than theirs")
    return target


@pytest.fixture(scope="session")
def machine(metallize_target: Target) -> Machine:
    """The machine under the guest: firmware, architecture, devices."""
    return metallize_target.machine


@pytest.fixture(scope="session")
def profile(metallize_target: Target) -> Profile:
    """The profile that the image was built from."""
    if metallize_target.profile is None:
        pytest.fail(f"{metallize_target.source} has no profile: it was named with --image", pytrace=False)
    return metallize_target.profile


@pytest.fixture
def guest(metallize_target: Target, request: pytest.FixtureRequest) -> Guest:
    """A guest that came up, shared by the tests of a module; with the mark `fresh_guest` a new one for the test."""
    fresh = request.node.get_closest_marker("fresh_guest") is not None
    module = request.node.getparent(pytest.Module)
    owner = request.node.nodeid if fresh or module is None else module.nodeid
    guests = request.config.stash[GUESTS]
    try:
        boot = guests.guest(metallize_target, owner)
    except MetallizeError as exc:
        pytest.fail(words(exc), pytrace=False)
    return Guest(boot, metallize_target.machine, partial(guests.another, metallize_target))


def _had(find: Callable[[], Shell]) -> Shell:
    try:
        return find()
    except GuestError as exc:
        pytest.fail(str(exc), pytrace=False)


@pytest.fixture
def ssh(guest: Guest) -> Shell:
    """A shell over SSH, logged in."""
    return _had(lambda: guest.ssh)


@pytest.fixture
def serial(guest: Guest) -> Shell:
    """A shell over the serial port, logged in."""
    return _had(lambda: guest.serial)


@pytest.fixture
def console(guest: Guest) -> Console:
    """The serial port itself."""
    return guest.console


@pytest.fixture
def qmp(guest: Guest) -> Qmp:
    """QEMU's monitor."""
    return guest.qmp
