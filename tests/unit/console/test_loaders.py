"""What the watch makes of a boot loader that shows a menu or a prompt."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metallize.console.stages import StageState
from metallize.console.watch import BootWatch
from metallize.model.boot import ConsoleRules
from metallize.model.report import Stage
from tests.unit.console.feed import Fed, lead_to
from tests.unit.console.test_watch import Clock, failure, make

MENU = """\
                             GNU GRUB  version 2.12-9+deb13u2
     Use the ^ and v keys to select which entry is highlighted.
      Press enter to boot the selected OS, `e' to edit the commands
      before booting or `c' for a command-line.
"""


def at_menu(clock: Clock) -> BootWatch:
    watch = make(clock)
    watch.console_text("Welcome to GRUB!\n", "")
    watch.console_text(MENU, "")
    return watch


def test_a_menu_that_waits_for_somebody() -> None:
    clock = Clock()
    watch = at_menu(clock)
    clock.now += 8
    watch.check()
    clock.now += 2
    assert failure(watch, clock).rule == "grub-menu-waits"


def test_a_menu_that_counts_down_waits_for_nobody() -> None:
    clock = Clock()
    watch = at_menu(clock)
    for left in range(40, 0, -1):
        clock.now += 1
        watch.console_text(f"   The highlighted entry will be executed automatically in {left}s.   \n", "")
        watch.check()
    watch.console_text("  Booting `Debian'\n", "")
    clock.now += 40
    watch.check()
    watch.console_text("[    0.000000] Linux version 6.12 (x)\n", "")
    assert watch.findings == ()


def test_an_error_at_the_menu_is_what_counts() -> None:
    clock = Clock()
    watch = at_menu(clock)
    watch.console_text("error: file `/boot/vmlinuz' not found.\n", "")
    watch.console_text(MENU, "")
    watch.console_text(" Failed to boot both default and fallback entries.\n", "")
    found = failure(watch, clock)
    assert found.rule == "grub-gave-up"
    assert "file `/boot/vmlinuz' not found" in found.cause


ISOLINUX = b"ISOLINUX 6.04 20250413 ETCD Copyright (C) 1994-2015 H. Peter Anvin et al\r\n"
TABMSG = b"\x1b[25;18H\x1b[0;31mPress ENTER to boot or TAB to edit a menu entry\r"
LOADS = b"\r\nLoading /live/vmlinuz... ok\r\nLoading /live/initrd.img..."


def isolinux(*reads: bytes, slowness: float = 1.0, **profile: tuple[str, ...]) -> Fed:
    return Fed(ConsoleRules(**profile), slowness=slowness).feed(lead_to(Stage.FIRMWARE), ISOLINUX, *reads)


@pytest.mark.parametrize("slowness", [1.0, 4.0, 9.0])
def test_a_menu_of_isolinux_that_waits_is_told_soon_on_every_host(slowness: float) -> None:
    fed = isolinux(TABMSG, slowness=slowness)
    assert fed.failure(9.5) is None
    failure = fed.failure(10 * slowness)
    assert failure is not None
    assert (failure.rule, failure.stage) == ("syslinux-menu-waits", Stage.LOADER)
    assert "--steps" in failure.remedy


def test_a_loader_that_polls_the_keyboard_is_no_busy_guest() -> None:
    """GRUB and ISOLINUX ask for a key without end: the CPU tells nothing of whether they wait."""
    fed = isolinux(TABMSG, slowness=4.0)
    fed.watch.switched_on(lambda: fed.now)
    failure = fed.failure(30)
    assert failure is not None
    assert failure.rule == "syslinux-menu-waits"


def test_a_menu_of_isolinux_that_counts_down_waits_for_nobody() -> None:
    fed = isolinux(TABMSG)
    for left in range(30, 0, -1):
        fed.feed(f"\x1b[24;11H       Automatic boot in {left} seconds...       ".encode())
        assert fed.failure(1) is None
    assert fed.feed(LOADS).failure(40) is None
    fed.feed(b" ok\r\n", lead_to(Stage.KERNEL))
    assert fed.failure(5) is None
    assert fed.watch.findings == ()


def test_a_menu_that_somebody_answers_goes_on() -> None:
    fed = isolinux(TABMSG)
    assert fed.failure(5) is None
    assert fed.feed(LOADS).failure(40) is None


def test_a_prompt_of_isolinux_may_count_unseen() -> None:
    fed = isolinux(b"boot: ")
    assert fed.failure(45) is None
    failure = fed.failure(10)
    assert failure is not None
    assert failure.rule == "syslinux-prompt"


@pytest.mark.parametrize("prompt", [b"boot: ", b"\r\ngrub> ", TABMSG, b"Memtest86+ v7.20 | x\r\n"])
def test_a_prompt_or_a_menu_that_is_asked_for_is_no_failure(prompt: bytes) -> None:
    wanted = ("boot:|grub>|Press ENTER|Memtest86",)
    fed = isolinux(prompt, require=wanted)
    assert fed.failure(40) is None
    assert fed.watch.missing == ()
    assert isolinux(prompt, require=("something else",)).failure(59) is not None


def test_what_is_asked_for_and_does_not_come_is_missing() -> None:
    errors = b"error: file `/vmlinuz' not found.\r\n"
    failure = isolinux(errors, require=(".",)).failure(20)
    assert failure is not None
    assert failure.rule == "grub-error"
    assert isolinux(b"boot", require=("boot:",)).watch.missing == ("boot:",)


def test_a_test_of_the_memory_is_told_at_once() -> None:
    text = b"\x1b[1;1H\x1b[44m\x1b[37m      Memtest86+ v6.10      \x1b[1;29H| QEMU Virtual CPU\x1b[2;1HCLK/Temp:"
    failure = isolinux(text, b"\x1b[3;1HL1 Cache:   64KB  10.1 GB/s \x1b[3;29H| Test   %\x1b[8;1H").failure(5)
    assert failure is not None
    assert (failure.rule, failure.stage) == ("memtest", Stage.LOADER)
    assert "memtest86+ runs on the console" in failure.cause


def test_a_menu_that_only_names_a_test_of_the_memory_runs_none() -> None:
    fed = isolinux(
        b"\x1b[12;03H Memtest86+                  \r\n*Memory test (memtest86+x64.bin)\r\n Memtest86+ v7.20\r\n"
    )
    assert fed.failure(20) is None


@pytest.mark.parametrize(
    ("came", "display", "words"),
    [
        (b"Booting from DVD/CD...\r\n..........", False, ["boot sector", "the last line is `..........`", "--display"]),
        (b"Booting from DVD/CD...\r\n..........", True, ["boot sector", "screenshot.png"]),
        (b"Booting from DVD/CD...\r\n", False, ["boot sector", "memtest86+"]),
        (b'BdsDxe: starting Boot0001 "UEFI QEMU DVD-ROM" from x\r\n', False, ["started the image's loader", "--steps"]),
        (ISOLINUX, False, ["in stage loader", "the last line is `ISOLINUX 6.04", "SYSLINUX: serial 0"]),
    ],
)
def test_a_loader_that_shows_nothing_may_show_it_on_a_display(came: bytes, words: list[str], *, display: bool) -> None:
    fed = Fed().feed(lead_to(Stage.FIRMWARE))
    fed.watch.switched_on(display=display)
    failure = fed.feed(came).failure(70)
    assert failure is not None
    for word in words:
        assert word in f"{failure.cause}; {failure.remedy}"


@pytest.mark.parametrize(
    ("last", "started"),
    [
        (("Booting from Hard Disk...",), True),
        (("Booting from Hard Disk...", "Boot failed: not a bootable disk"), False),
        (("Booting from Hard Disk...", "Boot failed: not a bootable disk", "Booting from DVD/CD...", ".."), True),
        (('BdsDxe: starting Boot0001 "x"',), True),
        (('BdsDxe: starting Boot0001 "x"', 'BdsDxe: failed to start Boot0001 "x": Not Found'), False),
        ((), False),
    ],
)
def test_a_firmware_takes_back_what_it_has_started(last: tuple[str, ...], *, started: bool) -> None:
    state = StageState(
        stage=Stage.FIRMWARE, lasted=1, quiet=1, received_bytes=1, console="ttyS0", last_lines=(*last, "")
    )
    assert state.handed_over == started
    assert not replace(state, stage=Stage.KERNEL).handed_over


@pytest.mark.slow
@pytest.mark.parametrize("menu", [TABMSG, *(line.encode() + b"\r\n" for line in MENU.splitlines()[1:])])
def test_a_menu_is_known_wherever_a_bios_places_the_cursor_in_it(menu: bytes) -> None:
    text = menu.removesuffix(b"\r\n")
    alone = text is not TABMSG and MENU.encode().find(text.strip()) > 0
    others = (b"      Press enter to boot the selected OS\r\n",) if alone else ()
    for at in range(text.rfind(b"m", 0, 20) + 1, len(text)):
        cut = text[:at] + b"\x1b[25;%dH" % at + text[at:]
        failure = isolinux(*others, cut).failure(20)
        assert failure is not None, cut
        assert failure.rule in {"syslinux-menu-waits", "grub-menu-waits"}, cut
