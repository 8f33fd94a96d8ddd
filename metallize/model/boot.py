"""The key `boot:` of a profile as a frozen value: the machines, and what must hold on each.

Part of the schema, as `metallize.model.profile` is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field

from metallize.model.nic import DeviceName, Nics
from metallize.model.outcome import Expect, Tampered
from metallize.model.scalars import Duration, Frozen, OneLine, Pause, Size
from metallize.model.update import Update

_MAX_PORT = 65535


class Media(StrEnum):
    """How a machine is handed the image."""

    DISK = "disk"
    CD = "cd"
    USB = "usb"
    NETWORK = "network"


class LinkState(StrEnum):
    """Whether a network card's cable is in."""

    UP = "up"
    DOWN = "down"


class Action(Frozen):
    """Something that is done to the machine when all holds, and after which its own `assert` must hold.

    SSH must then accept a new login, where the profile declares SSH. What is asserted is in `Profile.assertions`.
    """

    title: Annotated[OneLine, Field(min_length=1, description="what is done, for the report")]
    link: Annotated[
        dict[DeviceName, LinkState], Field(min_length=1, description="network cards whose cable is pulled or put back")
    ]


class Init(StrEnum):
    """What runs as process 1."""

    SYSTEMD = "systemd"
    OTHER = "other"


class SeedFile(StrEnum):
    """A file of a NoCloud seed."""

    USER_DATA = "user-data"
    META_DATA = "meta-data"
    NETWORK_CONFIG = "network-config"
    VENDOR_DATA = "vendor-data"


class MachineOverrides(Frozen):
    """What one entry of boot.machines changes for its machine."""

    machine: Annotated[str | None, Field(description="the machine to use, where the entry's name is not one")] = None
    media: Annotated[
        Media | None,
        Field(description="disk, cd, usb or network; default: cd for .iso, network for .tar, else disk"),
    ] = None
    memory: Size | None = None
    cpus: Annotated[int | None, Field(strict=True, ge=1, le=64)] = None
    disk: Size | None = None
    timeout: Duration | None = None
    expect: Expect | None = None
    tpm: Annotated[bool | None, Field(strict=True)] = None
    nics: Nics | None = None
    setup_mode: Annotated[
        bool,
        Field(
            strict=True,
            description="of a machine with Secure Boot: its firmware holds no keys at the first boot, and the image "
            "brings its own (output.secure_boot.enroll)",
        ),
    ] = False
    keys: Annotated[
        str | None,
        Field(
            description="of a machine with Secure Boot: a file of certificates in PEM, the only keys that its firmware "
            "holds; the first is PK and KEK, and what any of them signed is started"
        ),
    ] = None

    @property
    def own_keys(self) -> bool:
        """Whether its firmware comes without the keys of others."""
        return bool(self.keys) or self.setup_mode


class Login(Frozen):
    """A login over the serial console: it must work, and a wrong password must not."""

    user: OneLine
    password: OneLine = ""


class Ssh(Frozen):
    """A login over SSH with a password or a key."""

    user: OneLine
    password: OneLine | None = None
    key: Annotated[
        str | None,
        Field(description="`ephemeral` for a key made for this one boot, or the path of a private key"),
    ] = None


class ConsoleRules(Frozen):
    """On top of the built-in failure rules; regular expressions, searched per line."""

    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    allow: Annotated[tuple[str, ...], Field(description="lines that match are never failures")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachTarget:
    """A guest port that the host reaches through the guest's network, and for http the path asked for."""

    scheme: str
    port: int
    path: str = "/"


def parse_reach_target(text: str) -> ReachTarget:
    """Read `tcp:22`, `http://:8080/health` or `https://:443/`; raises ValueError that says what is wrong."""
    match = re.fullmatch(r"tcp:(\d{1,5})|(https?)://:(\d{1,5})(/[!-~]*)?", text, re.ASCII)
    if match is None:
        raise ValueError("a target is tcp:PORT, http://:PORT/PATH or https://:PORT/PATH")
    port = int(match[1] or match[3])
    if not 1 <= port <= _MAX_PORT:
        raise ValueError("a port is a number from 1 to 65535")
    return ReachTarget(scheme=match[2] or "tcp", port=port, path=match[4] or "/")


class PasswordLogin(Frozen):
    """A user of the guest with a password that may well be right."""

    user: OneLine
    password: OneLine


class Reach(Frozen):
    """What the host must see through the guest's network at `tcp:PORT` or `http://:PORT/PATH`."""

    banner: Annotated[
        OneLine | None,
        Field(description="tcp: text, or /a regular expression/, in what the server says first"),
    ] = None
    refuses_password: Annotated[
        PasswordLogin | None,
        Field(
            description="tcp: an SSH login with this password must be refused, however right it is, and the server "
            "must ask this user for none"
        ),
    ] = None
    status: Annotated[int | None, Field(strict=True, ge=100, le=599, description="http: the status code")] = None
    body: Annotated[
        tuple[str, ...], Field(description="http: patterns as in a goss file: text, !text, /re/, !/re/")
    ] = ()
    timeout: Duration | None = None


class Step(Frozen):
    """Something to wait for on the console, something to type, or first the one and then the other."""

    expect: Annotated[
        OneLine | None, Field(description="text, or /a regular expression/, that the console must show from here on")
    ] = None
    send: Annotated[
        str | None,
        Field(description="what is typed then; keys by name: <enter>, <esc>, <down>, <f2>, <ctrl-c>; <lt> is a <"),
    ] = None
    secret: Annotated[bool, Field(strict=True, description="what is typed is shown nowhere: a passphrase")] = False
    timeout: Annotated[Duration, Field(description="for `expect`, on a host of normal speed")] = timedelta(minutes=1)


def parse_power_cut(value: object) -> object:
    """`true` is a power cut as it comes, `false` none."""
    if isinstance(value, bool):
        return {} if value else None
    return value


class PowerCut(Frozen):
    """The power goes at a random moment after the guest is ready, while it writes, and comes back."""

    seed: Annotated[
        int | None, Field(strict=True, ge=0, le=(1 << 31) - 1, description="chooses the moment; default: a new one")
    ] = None
    within: Annotated[Duration, Field(description="the longest time that the guest writes before it")] = timedelta(
        seconds=10
    )
    moments: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=100_000,
            description="so many other moments at which the filesystems must be whole, too: the host replays what the "
            "guest wrote since it was switched on",
        ),
    ] = 0
    boots: Annotated[
        int,
        Field(
            strict=True,
            ge=0,
            le=1000,
            description="so many of the moments are booted, and all is asked of each once more",
        ),
    ] = 0


class TimeBudgets(Frozen):
    """Budgets, scaled by the measured slowness of the host."""

    firmware: Annotated[Duration | None, Field(description="how long the firmware may take")] = None
    loader: Annotated[Duration | None, Field(description="how long the boot loader may take")] = None
    kernel: Annotated[Duration | None, Field(description="from the kernel's start to its initrd's")] = None
    initrd: Annotated[Duration | None, Field(description="how long the initrd may take")] = None
    userspace: Annotated[Duration | None, Field(description="from the init system's start to the login prompt")] = None
    login: Annotated[Duration | None, Field(description="from power-on to the login prompt")] = None
    ready: Annotated[Duration | None, Field(description="from power-on to a system that has settled")] = None
    units: Annotated[
        dict[OneLine, Duration], Field(description="how long each of these units may take to start: ssh.service: 5s")
    ] = Field(default_factory=dict)


NETWORK_SUITE = "network"
"""It asserts a route out and a name server, which a network that leads to nothing has not."""


class Boot(Frozen):
    """How the image is booted to verify it, and what must hold then.

    `assert` and `suites` are resolved by metallize.config into `Profile.assertions`; the raw mapping is not kept.
    """

    machines: Annotated[
        dict[str, MachineOverrides],
        Field(description="a list of machine names, or a mapping of name to overrides"),
    ] = Field(default_factory=dict)
    memory: Size = 1 << 30
    cpus: Annotated[
        int | None, Field(strict=True, ge=1, le=64, description="default: 2, or what METALLIZE_CPUS says")
    ] = None
    disk: Annotated[Size | None, Field(description="grow the virtual disk past the image, as a real disk would be")] = (
        None
    )
    timeout: Annotated[Duration, Field(description="power-on to ready, on a host of normal speed")] = timedelta(
        minutes=5
    )
    settle: Annotated[
        Pause,
        Field(
            description="so long after the guest was ready its state, its units and its root are looked at again, "
            "and so long a refusal must stay one; 0s: at once"
        ),
    ] = timedelta(seconds=5)
    init: Annotated[
        Init, Field(description="what runs as process 1: systemd, or other, of which no state and no unit is asked")
    ] = Init.SYSTEMD
    tpm: Annotated[bool, Field(strict=True, description="the machine has a TPM 2.0, empty at the first boot")] = False
    nics: Annotated[Nics | None, Field(description="default: one card on the network `host`")] = None
    internet: Annotated[
        bool | None,
        Field(
            strict=True,
            description="the network `host` leads out, to this host's own services too; default: to nothing, and DHCP "
            "names no router and no name server, unless the suite `network` is named, which asks for both",
        ),
    ] = None
    seed: Annotated[
        dict[SeedFile, str],
        Field(
            description="what cloud-init is told on a CD of its own (NoCloud): a file beside the profile, the text "
            "itself, or a mapping; METALLIZE_SSH_PUBLIC_KEY in it stands for the public half of ssh.key"
        ),
    ] = Field(default_factory=dict)
    login: Login | None = None
    ssh: Ssh | None = None
    console: ConsoleRules = ConsoleRules()
    suites: Annotated[
        tuple[OneLine, ...], Field(description="names of boot-tests/NAME.yaml, or paths beside the profile")
    ] = ()
    reach: Annotated[
        dict[str, Reach],
        Field(description="seen from the host: tcp:PORT with banner, http://:PORT/PATH with status and body"),
    ] = Field(default_factory=dict)
    expect: Expect | None = None
    steps: Annotated[
        tuple[Step, ...],
        Field(description="what to wait for and to type on the console while it boots: menus, prompts"),
    ] = ()
    time: TimeBudgets = TimeBudgets()
    reboot: Annotated[bool, Field(strict=True, description="everything must hold again after a clean reboot")] = False
    power_cut: Annotated[
        PowerCut | None,
        BeforeValidator(parse_power_cut),
        Field(description="true, or {seed, within}: everything must hold again after the power was cut"),
    ] = None
    update: Annotated[
        Update | None,
        Field(description="a machine with the release before is updated to this image, and everything must hold then"),
    ] = None
    tamper: Annotated[
        tuple[Tampered, ...],
        Field(
            description="what is changed in a copy of the image, which must then be refused: root, verity, uki, "
            "unsigned-uki, cmdline; tpm: another TPM in the machine, once the disk has come up"
        ),
    ] = ()
    actions: Annotated[
        tuple[Action, ...], Field(description="in this order, when all holds; every cable is put back at the end")
    ] = ()
    display: Annotated[
        bool, Field(strict=True, description="give the machine a VGA display; the run keeps a screenshot of it")
    ] = False
    capture: Annotated[
        bool, Field(strict=True, description="the run keeps every packet of the network card, in net.pcap")
    ] = False

    @property
    def leads_out(self) -> bool:
        """Whether the guest's network leads anywhere but to the host's own questions."""
        return NETWORK_SUITE in self.suites if self.internet is None else self.internet
