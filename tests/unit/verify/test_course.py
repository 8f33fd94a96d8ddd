"""The checklist of a verification: everything that is asked is on it before the machine is switched on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metallize.catalog import Catalog
from metallize.errors import Location
from metallize.machines import seabios
from metallize.model.assertion import Assertion, Group
from metallize.model.boot import Boot, MachineOverrides
from metallize.model.outcome import Outcome
from metallize.model.profile import ImageFormat
from metallize.verify.checklist import Checklist
from metallize.verify.course import plan_course
from metallize.verify.request import VerifyRequest

KINDS = Catalog().kinds
PLACE = Location(path=Path("p.yaml"), line=1, column=1)
LOGINS = {"login": {"user": "a", "password": "b"}, "ssh": {"user": "a", "password": "b"}}
SYSTEM = ("init", "units", "state", "restarts", "root")
END = ["boot/console/faults", "boot/console/runs"]
WAYS = ["login/serial", "login/refuses", "ssh/login"]


def asked(resource: str, action: int | None = None) -> Assertion:
    options = KINDS["file"].options.model_validate({"exists": True})
    return Assertion(kind="file", resource=resource, options=options, location=PLACE, action=action)


def planned(
    boot: dict[str, Any], *assertions: Assertion, groups: tuple[Group, ...] = (), refused: bool = False
) -> list[str]:
    request = VerifyRequest(
        image=Path("x.img"),
        image_format=ImageFormat.RAW,
        boot=Boot.model_validate(boot),
        assertions=assertions,
        groups=groups,
        machine_entry="seabios",
        machine=seabios.MACHINE,
        kinds=KINDS,
        runs_dir=Path("runs"),
        overrides=MachineOverrides(expect=Outcome(refused=() if refused else None)),
    )
    entries = plan_course(request)
    Checklist(entries)  # no two with one id
    return [entry.id for entry in entries]


def whole(turn: str, *more: str) -> list[str]:
    names = [*WAYS, *(f"system/{name}" for name in SYSTEM), *more, *(f"rest/{name}" for name in SYSTEM)]
    return [f"{turn}/{name}" for name in names]


def test_a_boot_that_is_logged_in_to() -> None:
    assert planned(LOGINS, asked("/x")) == [*whole("boot", "assert/1/file//x"), *END]


def test_a_login_without_a_password_refuses_none() -> None:
    assert "boot/login/refuses" not in planned({"login": {"user": "a"}})


@pytest.mark.parametrize("steps", [[], [{"expect": "boot:"}]])
def test_with_no_login_something_must_be_seen_steps_or_not(steps: list[dict[str, str]]) -> None:
    own = [f"boot/step/{number}" for number, _ in enumerate(steps, start=1)]
    assert planned({"steps": steps}) == [*own, "boot/prompt/shown", *END]


def test_what_else_a_profile_asks_of_a_boot() -> None:
    more = planned(
        {
            **LOGINS,
            "reach": {"tcp:22": {}},
            "time": {"ready": "9s", "units": {"a.service": 1}},
            "console": {"require": ["hi"]},
        }
    )
    found = {"reach/tcp:22", "time/stage/ready", "time/unit/a.service", "console/require/1"}
    assert {f"boot/{name}" for name in found} <= set(more)


def test_a_reboot_is_everything_once_more() -> None:
    assert planned({**LOGINS, "reboot": True}, asked("/x")) == [
        *whole("boot", "assert/1/file//x"),
        "reboot/reboot/clean",
        *whole("reboot", "assert/1/file//x"),
        "reboot/reboot/renewed",
        "reboot/reboot/identity",
        *END,
    ]


def test_a_power_cut_is_a_machine_of_its_own() -> None:
    assert planned({**LOGINS, "power_cut": True}) == [
        *whole("boot"),
        *END,
        "power-cut/power-cut/writes",
        "power-cut/power-cut/filesystems",
        *whole("power-cut"),
        "power-cut/power-cut/renewed",
        "power-cut/power-cut/identity",
        "power-cut/power-cut/synced",
        "power-cut/console/faults",
        "power-cut/console/runs",
    ]


def test_actions_are_done_in_the_first_boot_only() -> None:
    action = {"title": "cut", "link": {"nic0": "down"}}
    ids = planned({**LOGINS, "nics": [{}], "actions": [action], "reboot": True}, asked("/x"), asked("/y", 0))
    assert [each for each in ids if "/action/" in each] == [
        "boot/action/1/done",
        "boot/action/1/login",
        "boot/action/1/assert/1/file//y",
    ]
    assert not [each for each in ids if "/y" in each and "/action/" not in each]


def test_groups_come_last() -> None:
    group = Group(name="full", run=("fill", "sync"), assertions=(asked("/z"),), location=PLACE)
    assert planned(LOGINS, groups=(group,))[-4:] == [
        "group/full/run/1",
        "group/full/run/2",
        "group/full/assert/1/file//z",
        "group/full/guest",
    ]


def test_of_an_image_that_must_be_refused_nothing_else_is_asked() -> None:
    everything = {**LOGINS, "reboot": True, "power_cut": True, "reach": {"tcp:22": {}}}
    assert planned(everything, asked("/x"), refused=True) == ["boot/refusal", "boot/console/faults"]
