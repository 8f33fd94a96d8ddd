"""An ordinary application dockerfile becomes a systemd unit that does what the container would have done."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize.build.app import (
    BY_NUMBER,
    AppLayer,
    Container,
    app_unit,
    container_of,
    quote,
    without_unit,
)
from metallize.build.container import DEFAULT_PATH
from metallize.build.dockerfile import parse
from metallize.build.dockerfile.words import expand
from metallize.command import run
from metallize.model.profile import App, Platform, Restart

HEAD = "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n"
LOGGER = f"""{HEAD}\
ARG METALLIZE_SECONDS=5
ENV LOGGER_SECONDS=${{METALLIZE_SECONDS}} LOGGER_NOTE="a b"
WORKDIR /opt
WORKDIR templogger
USER templogger:sensors
STOPSIGNAL SIGINT
EXPOSE 80
CMD ["/opt/templogger/run", "--every", "$LOGGER_SECONDS"]
"""


def layer(text: str, name: str = "templogger.dockerfile", args: Mapping[str, str] | None = None) -> AppLayer:
    return AppLayer(name=name, dockerfile=parse(text), build_args=args or {})


def container(*texts: str, args: Mapping[str, str] | None = None) -> Container:
    return container_of([layer(text, f"{n}.dockerfile", args) for n, text in enumerate(texts)], Platform.ARM64)


def unit(*texts: str, **settings: object) -> dict[str, list[str]]:
    made = app_unit([layer(text) for text in texts], Platform.AMD64, App.model_validate(settings))
    assert made is not None
    lines: dict[str, list[str]] = {}
    for line in made.text.splitlines():
        key, _, value = line.partition("=")
        lines.setdefault(key, []).append(value)
    return lines


def test_an_ordinary_application_dockerfile() -> None:
    made = app_unit([layer(LOGGER, args={"METALLIZE_SECONDS": "2"})], Platform.ARM64, App())
    assert made is not None
    assert (made.name, made.user, made.directory) == ("templogger.service", "templogger:sensors", "/opt/templogger")
    lines = unit(LOGGER)
    assert lines["User"] == ["templogger"]
    assert lines["Group"] == ["sensors"]
    assert lines["WorkingDirectory"] == ["/opt/templogger"]
    assert lines["Environment"] == ['"LOGGER_NOTE=a b"', "LOGGER_SECONDS=5"]
    # A container's exec form expands no variable, and neither does the unit's.
    assert lines["ExecStart"] == ['/opt/templogger/run --every "$$LOGGER_SECONDS"']
    assert lines["KillSignal"] == ["SIGINT"]
    assert lines["Restart"] == ["always"]
    assert lines["StandardOutput"] == ["journal"]
    assert "LOGGER_SECONDS=2" in made.text


@pytest.mark.parametrize(
    ("texts", "argv"),
    [
        pytest.param(['CMD ["a", "b"]'], ("a", "b"), id="exec form"),
        pytest.param(["CMD a $X"], ("/bin/sh", "-c", "a $X"), id="shell form"),
        pytest.param(['ENTRYPOINT ["a"]\nCMD ["b"]'], ("a", "b"), id="both"),
        pytest.param(['CMD ["b"]\nENTRYPOINT ["a"]'], ("a", "b"), id="both, the other way round"),
        pytest.param(['CMD ["b"]', 'ENTRYPOINT ["a"]'], ("a",), id="an entry point drops the CMD below"),
        pytest.param(['ENTRYPOINT ["a"]', 'CMD ["b"]'], ("a", "b"), id="a CMD above keeps the entry point"),
        pytest.param(['ENTRYPOINT a\nCMD ["b"]'], ("/bin/sh", "-c", "a", "b"), id="an entry point's shell form"),
        pytest.param(['CMD ["a"]', 'CMD ["b"]'], ("b",), id="the last has the word"),
        pytest.param(['SHELL ["/bin/bash", "-o", "pipefail", "-c"]\nCMD a | b'],
                     ("/bin/bash", "-o", "pipefail", "-c", "a | b"), id="a shell of its own"),
        pytest.param(["CMD ['a']"], ("/bin/sh", "-c", "['a']"), id="no JSON is the shell form"),
    ],
)  # fmt: skip
def test_what_is_run(texts: list[str], argv: tuple[str, ...]) -> None:
    assert container(*(f"{HEAD}{text}\n" for text in texts)).argv == argv


def test_only_the_last_stage_and_what_it_stands_on_count() -> None:
    text = (
        'FROM other:1 AS tools\nENV A=wrong\nCMD ["wrong"]\n'
        "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG} AS below\nENV A=right\n"
        'FROM below\nCMD ["right"]\n'
    )
    # METALLIZE_SRC_IMG must be declared before the first FROM to be seen by one
    seen = container(f"ARG METALLIZE_SRC_IMG\n{text}")
    assert (seen.environment, seen.argv) == ({"A": "right"}, ("right",))


def test_a_stage_on_another_image_forgets_the_layers_below() -> None:
    seen = container(f"{HEAD}ENV A=1\n", 'FROM debian:trixie\nCMD ["b"]\n')
    assert (seen.environment, seen.argv) == ({}, ("b",))


def test_arguments_and_variables_are_replaced_as_docker_does_it() -> None:
    text = (
        f"ARG OUTSIDE=o\n{HEAD}ARG OUTSIDE\nARG METALLIZE_NAME=default\nARG B=${{METALLIZE_NAME}}-b\n"
        "ARG TARGETARCH\nENV A=${OUTSIDE} NAME=$METALLIZE_NAME B2=$B ARCH=${TARGETARCH} NONE=$TARGETOS\n"
        "ENV A=new A_WAS=$A\nENV OLD form  of it\n"
        "ENV PATH=/opt/bin:$PATH METALLIZE_NAME=over\nENV LAST=$METALLIZE_NAME\n"
    )
    assert container(text, args={"METALLIZE_NAME": "set"}).environment == {
        "A": "new",
        "NAME": "set",
        "B2": "set-b",
        "ARCH": "arm64",
        "NONE": "",
        "A_WAS": "o",
        "OLD": "form  of it",
        "PATH": "/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "METALLIZE_NAME": "over",
        "LAST": "over",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"), ("'$A'", "$A"), ('"$A b"', "1 b"), (r"\$A", "$A"), (r'"\$A\n"', r"$A\n"), ("${A}x", "1x"),
        ("${NO}", ""), ("${NO:-d$A}", "d1"), ("${A:-d}", "1"), ("${EMPTY:-d}", "d"), ("${EMPTY-d}", ""),
        ("${A:+yes}", "yes"), ("${NO:+yes}", ""), (r"a\ b", "a b"), ("$A$A", "11"), ("$", "$"),
        ("\"it's\"", "it's"),
    ],
)  # fmt: skip
def test_expansion(text: str, value: str) -> None:
    assert expand(text, {"A": "1", "EMPTY": ""}) == value


@pytest.mark.parametrize(
    "text",
    ["", 'CMD ["bash"]', 'CMD ["/bin/sh", "-l"]', 'CMD ["/sbin/init"]', "ENV A=1\nUSER x\n", "ENTRYPOINT []\nCMD []"],
)
def test_no_app_no_unit(text: str) -> None:
    assert app_unit([layer(f"{HEAD}{text}\n")], Platform.AMD64, App()) is None


def test_the_profile_tunes_it_or_leaves_it_out() -> None:
    lines = unit(
        LOGGER, name="temp", restart="on-failure", restart_delay="10s", after=["network-online.target"],
        environment={"LOGGER_SECONDS": "60"},
    )  # fmt: skip
    assert lines["Restart"] == ["on-failure"]
    assert lines["RestartSec"] == ["10"]
    assert lines["After"] == ["network.target network-online.target"]
    assert lines["Wants"] == ["network-online.target"]
    assert "LOGGER_SECONDS=60" in lines["Environment"]
    assert lines["SyslogIdentifier"] == ["temp"]
    assert app_unit([layer(LOGGER)], Platform.AMD64, App(enabled=False)) is None
    assert App.model_validate({"restart": False}).restart is Restart.NO


def test_a_program_that_only_the_apps_path_finds() -> None:
    lines = unit(f'{HEAD}ENV PATH=/opt/bin:$PATH\nCMD ["serve", "100%"]\n')
    assert lines["ExecStart"] == ['/usr/bin/env serve "100%%"']
    assert lines["User"] == ["root"]


def _unquoted(word: str) -> str:
    """What systemd reads in a word of ExecStart (systemd.syntax(7), systemd.service(5), systemd.unit(5))."""
    if word.startswith('"'):
        assert word.endswith('"')
        word = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), word[1:-1], flags=re.DOTALL)
    return word.replace("$$", "$").replace("%%", "%")


@given(
    st.text(st.characters(codec="ascii", min_codepoint=32), min_size=1) | st.sampled_from(["a\nb", 'q"\\', "$X", ";"])
)
def test_every_word_reaches_the_program(word: str) -> None:
    quoted = quote(word, command=True)
    assert "\n" not in quoted
    assert _unquoted(quoted) == word


@pytest.mark.parametrize(
    ("user", "plain"),
    [
        ("", ["root"]), ("0", ["0"]), ("app", ["app"]), ("app:sensors", ["app"]), ("0:0", ["0"]),
        ("1000", None), ("1000:1000", None), ("app:1000", None), ("65532:nogroup", None),
    ],
)  # fmt: skip
def test_a_number_that_may_have_no_account_is_not_left_to_systemd(user: str, plain: list[str] | None) -> None:
    lines = unit(f'{HEAD}{f"USER {user}" if user else ""}\nCMD ["/opt/app", "100%"]\n')
    assert lines.get("User") == plain
    assert ("setpriv" in lines["ExecStart"][0]) is (plain is None)
    assert lines["ExecStart"][0].endswith('/opt/app "100%%"')


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
@pytest.mark.parametrize(
    ("user", "group", "shown"),
    [
        ("54321", "", "54321:0:0:/"),
        ("54321", "54322", "54321:54322:54322:/"),
        ("0", "54322", "0:54322:54322:/root"),
        ("daemon", "54322", "1:54322:54322:/usr/sbin"),
        ("1", "", "1:1:1:/usr/sbin"),
    ],
)
def test_a_number_runs_as_it_does_in_a_container(user: str, group: str, shown: str) -> None:
    """Its own group where it has an account, else group 0; no other groups; its home, else /."""
    script = 'echo "$(id -u):$(id -g):$(id -G | tr " " ,):$HOME"'
    argv = ["env", "-i", f"PATH={DEFAULT_PATH}", "/bin/sh", "-c", BY_NUMBER, "sh", user, group, "/bin/sh", "-c", script]
    done = run(argv, timeout=timedelta(seconds=20))
    assert done.stdout.strip() == shown


def missed(*texts: str, **settings: object) -> list[tuple[str, int, str]]:
    layers = [layer(f"{HEAD}{text}\n", f"{number}.dockerfile") for number, text in enumerate(texts)]
    found = without_unit(layers, Platform.AMD64, App.model_validate(settings))
    return [(each.layer, each.line, each.reason) for each in found]


def test_a_command_that_makes_no_unit_is_told_with_the_reason() -> None:
    assert missed('CMD ["run"]') == []
    assert missed("RUN true") == []
    assert missed('CMD ["bash"]') == [("0.dockerfile", 3, "a bare shell waits for a person")]
    assert missed('CMD ["/sbin/init"]') == [("0.dockerfile", 3, "an init is the operating system's own")]
    assert missed("CMD []") == [("0.dockerfile", 3, "nothing is left to run")]
    assert missed("CMD") == [("0.dockerfile", 3, "its command is empty")]
    assert missed('CMD ["run"]', enabled=False) == [("0.dockerfile", 3, "the profile says `app: false`")]
    assert missed('CMD ["one"]', 'CMD ["two"]') == [
        ("0.dockerfile", 3, "1.dockerfile:3 takes its place, as in a container")
    ]
    assert missed('ENTRYPOINT ["one"]', 'CMD ["two"]') == []


def test_a_command_of_a_stage_that_is_left_behind_is_told_too() -> None:
    text = f'FROM a AS x\nCMD ["lost"]\n{HEAD}CMD ["run"]\n'
    found = without_unit([layer(f"ARG METALLIZE_SRC_IMG\n{text}")], Platform.AMD64, App())
    assert [(each.line, each.reason) for each in found] == [
        (3, "it stands in a stage that the last one does not stand on")
    ]


def test_triggers_run_in_the_next_layer_and_not_again() -> None:
    seen = container(f"{HEAD}ONBUILD ENV A=$B\nONBUILD USER web\n", f"{HEAD}ARG C\nENV B=1\n", f"{HEAD}USER db\n")
    assert (seen.environment, seen.user) == ({"A": "", "B": "1"}, "db")
