"""HEALTHCHECK is read as Docker reads it, and the watchdog that asks it gives up when, and only when, it should."""

from __future__ import annotations

import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.build.app import AppLayer, app_unit
from metallize.build.dockerfile import parse
from metallize.build.health import GAVE_UP, Health, health_of, watch_argv
from metallize.build.notes import notes
from metallize.errors import ProfileError
from metallize.model.profile import App, Platform

from .conftest import ON_SOURCE, Layers, MakePlan, profile

SHELL = ("/bin/sh", "-c")


def health(rest: str) -> Health:
    found = health_of(rest, SHELL, layer="web.dockerfile", line=9)
    assert found is not None
    return found


def seconds(text: str) -> float:
    return health(f"--interval={text} CMD true").interval.total_seconds()


def test_dockers_defaults() -> None:
    found = health("CMD curl -f http://localhost/ || exit 1")
    assert found.argv == (*SHELL, "curl -f http://localhost/ || exit 1")
    assert (found.interval, found.timeout, found.start_period, found.retries) == (
        timedelta(seconds=30),
        timedelta(seconds=30),
        timedelta(),
        3,
    )


def test_every_option_and_the_exec_form() -> None:
    found = health('--interval=1m30s --timeout=3s --start-period=2m --retries=5 CMD ["/bin/ask", "a b"]')
    assert found.argv == ("/bin/ask", "a b")
    assert (found.interval, found.timeout) == (timedelta(seconds=90), timedelta(seconds=3))
    assert (found.start_period, found.retries) == (timedelta(minutes=2), 5)


@pytest.mark.parametrize(
    ("text", "value"), [("500ms", 0.5), ("1h", 3600), ("1.5s", 1.5), ("0s", 30), ("2m0.5s", 120.5), ("1000000us", 1)]
)
def test_durations_are_gos(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("rest", ["NONE", "none", "", "CMD", "--interval=1s NONE", "curl x"])
def test_no_check_is_none(rest: str) -> None:
    assert health_of(rest, SHELL, layer="web.dockerfile", line=9) is None


def layer(text: str) -> AppLayer:
    return AppLayer(name="web.dockerfile", dockerfile=parse(f"{ON_SOURCE}{text}"), build_args={})


WEB = 'ENV PORT=80\nUSER web\nWORKDIR /srv\nHEALTHCHECK CMD curl "localhost:$PORT"\nCMD ["/web"]\n'


def test_a_watchdog_is_made_where_it_is_wanted() -> None:
    without = app_unit([layer(WEB)], Platform.AMD64, App())
    assert without is not None
    assert without.health is not None
    assert set(without.units) == {"web.service"}
    made = app_unit([layer(WEB)], Platform.AMD64, App(watchdog=True))
    assert made is not None
    assert "Wants=web-watchdog.service\n" in made.units["web.service"]
    lines = made.units["web-watchdog.service"].splitlines()
    for line in ("BindsTo=web.service", "User=web", "WorkingDirectory=/srv", "Environment=PORT=80"):
        assert line in lines
    [start] = [line for line in lines if line.startswith("ExecStart=")]
    assert start.endswith(r'sh web 0 30 30 3 /bin/sh -c "curl \"localhost:$$PORT\""')


def test_none_takes_the_check_of_a_layer_below_away() -> None:
    layers = [layer(WEB), layer("HEALTHCHECK NONE\n")]
    made = app_unit(layers, Platform.AMD64, App(watchdog=True))
    assert made is not None
    assert made.health is None
    assert set(made.units) == {"web.service"}


@pytest.mark.parametrize(
    ("text", "told"), [('CMD ["/web"]\n', "no layer has one"), ("HEALTHCHECK CMD true\n", "no layer has a CMD")]
)
def test_a_watchdog_with_nothing_to_ask_is_refused(text: str, told: str, make_plan: MakePlan, layers: Layers) -> None:
    web = layers.read("web.dockerfile", f"{ON_SOURCE}{text}")
    with pytest.raises(ProfileError, match=told):
        make_plan(profile(args={}, output={"app": {"watchdog": True}}), rootfs=["debian:trixie", web])


def test_the_notes_say_who_asks(make_plan: MakePlan, layers: Layers) -> None:
    below = layers.read("below.dockerfile", f"{ON_SOURCE}HEALTHCHECK CMD false\n")
    web = layers.read("web.dockerfile", f"{ON_SOURCE}HEALTHCHECK --interval=5s CMD true\nVOLUME /data\nCMD /web\n")
    told = list(
        notes(make_plan(profile(args={}, output={"app": {"watchdog": True}}), rootfs=["debian:trixie", below, web]))
    )
    assert told[1:] == [
        (
            "web.dockerfile:3: web-watchdog.service asks HEALTHCHECK every 5 s, and starts web.service again after 3 "
            "failures in a row."
        ),
        "below.dockerfile:3: HEALTHCHECK gives way to that of web.dockerfile, as in a container.",
        (
            "web.dockerfile:4: VOLUME configures a container; an OS that boots does not see it: the folder is one of "
            "the root filesystem's."
        ),
    ]
    told = list(notes(make_plan(profile(args={}), rootfs=["debian:trixie", web])))
    assert "`output.app.watchdog: true` has a unit ask it" in told[1]


def watch(check: str, *options: str) -> subprocess.CompletedProcess[str]:
    """The loop, run by a real shell."""
    argv = watch_argv(health(f"--interval=1s --timeout=1s {' '.join(options)} CMD {check}"), "web")
    return subprocess.run(argv, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.slow
def test_it_gives_up_after_as_many_failures_in_a_row(tmp_path: Path) -> None:
    asked = tmp_path / "asked a b"
    # The second time it is well: the failures before that do not count.
    check = f"echo x >>'{asked}'; [ $(wc -l <'{asked}') = 2 ] || {{ echo \"it is 100% \\\"ill\\\"\"; exit 1; }}"
    done = watch(check, "--retries=2")
    assert done.returncode == GAVE_UP
    assert asked.read_text().count("x") == 4
    assert 'web is not healthy (2 of 2): it is 100% "ill"' in done.stdout
    assert done.stdout.count("(1 of 2)") == 2


@pytest.mark.slow
def test_a_check_that_hangs_has_failed() -> None:
    assert watch("sleep 60", "--retries=1").returncode == GAVE_UP


@pytest.mark.slow
def test_failures_while_it_starts_do_not_count() -> None:
    before = time.monotonic()
    assert watch("false", "--retries=1", "--start-period=4s").returncode == GAVE_UP
    assert time.monotonic() - before >= 3, "it counts whole seconds, of which the first had begun"
