"""What the watch makes of a boot loader that shows a menu or a prompt."""

from __future__ import annotations

from metallize.console.watch import BootWatch
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
