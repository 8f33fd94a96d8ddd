"""Sabotage of what starts once there is a root: mounts, units, and what they do to the boot."""

from __future__ import annotations

from metallize.model.report import Stage
from tests.boot.sabotage.images import Disk
from tests.boot.sabotage.recipe import Failed, Recipe

WRONG_ID = "00000000-1111-2222-3333-444444444444"
UDEV_SOCKETS = ("kernel", "control")
NAME_SUITE = """\
command:
  hostname:
    exec: cat /proc/sys/kernel/hostname
    exit-status: 0
    stdout: [web1]
"""


OWN_INIT = """\
#!/bin/sh
# An init with nothing of systemd's, as the small distributions have.
export PATH=/usr/sbin:/usr/bin
mount -t tmpfs tmpfs /tmp
hostname tiny
echo 'INIT: version 0.1 booting' >/dev/console
while :; do setsid agetty 115200 ttyS0 vt100; done
"""


def own_init(disk: Disk) -> None:
    disk.put("/usr/sbin/init", OWN_INIT, mode=0o755)


def asks_questions(disk: Disk) -> None:
    """The conversion masks systemd-firstboot(1); it asks for what is not set."""
    disk.remove(
        "/etc/systemd/system/systemd-firstboot.service", "/etc/locale.conf", "/etc/vconsole.conf", "/etc/localtime"
    )


def asks_for_a_passphrase(disk: Disk) -> None:
    """The agent on the console is the one that asks for a disk's passphrase, systemd-ask-password-console."""
    disk.early_service(
        "unlock",
        "Type=oneshot\nExecStart=/usr/bin/systemd-ask-password --timeout=0 "
        "'Please enter passphrase for disk data (cryptdata):'",
        unit="Before=sysinit.target",
    )


def read_only(disk: Disk) -> None:
    disk.parameters("ro", without=r"\brw\b")
    disk.put("/etc/fstab", "# nothing is remounted\n")


def flood(disk: Disk, size_bytes: int | None = None) -> None:
    """A service that prints so much on the console, or without end; each line begins as a getty's prompt does."""
    end = "" if size_bytes is None else f"| head -c {size_bytes} "
    disk.service(
        "flood",
        f"ExecStart=/bin/sh -c 'yes \"login: # the same line, 50 characters, again and again\" {end}>/dev/console'",
    )


def stuck(disk: Disk) -> None:
    disk.service("stuck", "Type=oneshot\nExecStart=/bin/sleep infinity")


def harmless_panic(disk: Disk) -> None:
    """With the service's name before it, and bare."""
    word = "ExecStart=/bin/echo 'Kernel panic - not syncing: only a word'"
    disk.service("harmless", f"Type=oneshot\nStandardOutput=journal+console\n{word}")
    disk.service("harmless-too", f"Type=oneshot\nStandardOutput=tty\nTTYPath=/dev/ttyS0\n{word}")


RECIPES = (
    Recipe(
        name="read-only-root",
        summary="the root stays mounted read-only",
        disk=read_only,
        expected=(Failed(stage=Stage.READY, rule="unit-failed", result="unit ", words=("is mounted read-only",)),),
    ),
    Recipe(
        name="full-root-disk",
        summary="not a block is free on the root filesystem",
        disk=lambda disk: disk.fill(),
        expected=(
            Failed(stage=Stage.READY, rule="no-space", words=("full",)),
            Failed(stage=Stage.READY, rule="unit-failed", result="unit ", words=("is full",)),
        ),
    ),
    Recipe(
        name="emergency-mode",
        cheap=True,
        summary="fstab names a disk that is not there",
        disk=lambda disk: disk.put("/etc/fstab", "LABEL=nowhere /srv ext4 defaults,x-systemd.device-timeout=3s 0 2\n"),
        expected=(Failed(stage=Stage.USERSPACE, rule="emergency-mode", words=("emergency", "nowhere")),),
    ),
    Recipe(
        name="fstab-names-another-root",
        summary="fstab names a root filesystem that is not there",
        disk=lambda disk: disk.put("/etc/fstab", f"UUID={WRONG_ID} / ext4 defaults,x-systemd.device-timeout=3s 0 1\n"),
        expected=(Failed(stage=Stage.READY, rule="unit-failed", words=("Remount Root",)),),
    ),
    Recipe(
        name="passphrase-is-asked-for",
        summary="somebody must type a passphrase",
        disk=asks_for_a_passphrase,
        expected=(Failed(stage=Stage.USERSPACE, rule="passphrase-asked", words=("passphrase", "boot.steps")),),
    ),
    Recipe(
        name="first-boot-asks-questions",
        summary="systemd-firstboot asks for locale, keymap and timezone",
        disk=asks_questions,
        expected=(Failed(stage=Stage.USERSPACE, rule="first-boot-asks", words=("systemd-firstboot",)),),
    ),
    Recipe(
        name="rescue-mode",
        summary="the default target is rescue.target",
        disk=lambda disk: disk.link("/etc/systemd/system/default.target", "/usr/lib/systemd/system/rescue.target"),
        expected=(Failed(stage=Stage.USERSPACE, rule="emergency-mode", words=("rescue",)),),
    ),
    Recipe(
        name="no-default-target",
        summary="default.target leads nowhere",
        disk=lambda disk: disk.link("/etc/systemd/system/default.target", "/usr/lib/systemd/system/nowhere.target"),
        expected=(Failed(stage=Stage.USERSPACE, rule="emergency-mode", words=("default target cannot be loaded",)),),
    ),
    Recipe(
        name="udev-masked",
        summary="systemd-udevd does not run, so that no device ever appears",
        disk=lambda disk: disk.mask("systemd-udevd.service", *(f"systemd-udevd-{end}.socket" for end in UDEV_SOCKETS)),
        expected=(Failed(stage=Stage.USERSPACE, rule="device-timeout", words=("udev does not run",)),),
    ),
    Recipe(
        name="root-with-an-unknown-option",
        summary="fstab gives the root file system an option that it does not know",
        disk=lambda disk: disk.replace("/etc/fstab", r"errors=remount-ro|defaults|noatime|relatime", "nosuchoption"),
        expected=(
            Failed(stage=Stage.READY, result="unit systemd-remount-fs.service", words=("nosuchoption",), seconds=15),
        ),
    ),
    Recipe(
        name="failing-unit",
        summary="a service fails",
        disk=lambda disk: disk.service("milk", "Type=oneshot\nExecStart=/bin/sh -c 'echo sour >&2; exit 7'"),
        expected=(
            Failed(stage=Stage.READY, rule="unit-failed", result="unit milk.service", words=("milk.service", "sour")),
        ),
    ),
    Recipe(
        name="unit-stuck-activating",
        summary="a service never comes to the end of its start",
        disk=stuck,
        boot={"timeout": 25},
        expected=(Failed(stage=Stage.READY, result="system is running", words=("stuck.service",)),),
    ),
    Recipe(
        name="crash-looping-service",
        summary="a service crashes and is started again, for ever",
        disk=lambda disk: disk.service(
            "loop",
            "ExecStart=/bin/sh -c 'exit 1'\nRestart=always\nRestartSec=2s",
            unit="StartLimitIntervalSec=0",
        ),
        expected=(Failed(stage=Stage.READY, result="unit loop.service", words=("started again",)),),
    ),
    Recipe(
        name="shutdown-in-the-middle-of-the-boot",
        summary="a service switches the machine off",
        disk=lambda disk: disk.early_service(
            "good-night", "Type=oneshot\nExecStart=/usr/bin/systemctl --no-block poweroff"
        ),
        expected=(Failed(stage=Stage.USERSPACE, rule="guest-shutdown", words=("switched itself off",)),),
    ),
    Recipe(
        name="reboot-in-the-middle-of-the-boot",
        summary="a service resets the machine",
        disk=lambda disk: disk.early_service("again", "Type=oneshot\nExecStart=/usr/bin/systemctl reboot -ff"),
        expected=(Failed(stage=Stage.USERSPACE, rule="unexpected-reset", words=("reset itself",)),),
    ),
    Recipe(
        name="wrong-hostname",
        summary="the machine is called otherwise",
        disk=lambda disk: disk.put("/etc/hostname", "elsewhere\n"),
        suite=NAME_SUITE,
        expected=(
            Failed(stage=Stage.READY, result="command hostname", words=("web1", "elsewhere"), seconds=9, scaled=True),
        ),
    ),
    Recipe(
        name="no-login-declared",
        summary="nothing is wrong with the image, and nobody may log in; it must pass",
        login=None,
        ssh=None,
    ),
    Recipe(
        name="failing-unit-and-no-login-declared",
        summary="a service fails, and only the console tells of it",
        disk=lambda disk: disk.service("milk", "Type=oneshot\nExecStart=/bin/false"),
        login=None,
        ssh=None,
        expected=(Failed(stage=Stage.READY, rule="unit-failed", words=("milk.service",)),),
    ),
    Recipe(
        name="init-without-systemd",
        summary="init is a shell script with a getty; it must pass",
        disk=own_init,
        boot={"init": "other"},
        ssh=None,
    ),
    Recipe(
        name="harmless-panic-in-a-log",
        cheap=True,
        summary="a service prints `Kernel panic` on the console, with and without its name; it must pass",
        disk=harmless_panic,
    ),
    Recipe(
        name="quiet-console",
        summary="neither the kernel nor systemd says anything; it must pass",
        disk=lambda disk: disk.parameters("quiet loglevel=0 systemd.show_status=0"),
    ),
    Recipe(
        name="console-flood",
        summary="a service prints 100 MB on the console while the system starts; it must pass",
        disk=lambda disk: flood(disk, 100_000_000),
        boot={"timeout": 600},
    ),
    Recipe(
        name="short-console-flood",
        summary="a service prints 2 MB on the console about when somebody logs in; it must pass",
        disk=lambda disk: flood(disk, 2_000_000),
    ),
    Recipe(
        name="binary-console-flood",
        summary="a service prints a file that is no text on the console; it must pass",
        disk=lambda disk: disk.service(
            "flood", "ExecStart=/bin/sh -c 'head -c 1000000 /dev/urandom >/dev/console; printf noise >/dev/console'"
        ),
    ),
    Recipe(
        name="endless-console-flood",
        summary="a service prints on the console without end: SSH gets in, and on the console nobody can",
        disk=flood,
        boot={"timeout": 40},
        expected=(
            Failed(
                stage=Stage.READY,
                result="serial login",
                words=("the console was flooded",),
                seconds=45,  # the whole of boot.timeout, and then the end of a boot
                scaled=True,
            ),
        ),
    ),
    Recipe(
        name="panic-behind-a-flood",
        summary="the kernel panics in the middle of a flood",
        disk=lambda disk: disk.service(
            "flood",
            "ExecStart=/bin/sh -c '(yes >/dev/console) & sleep 5; echo c >/proc/sysrq-trigger'",
        ),
        expected=(Failed(stage=Stage.KERNEL, rule="kernel-panic", words=("sysrq triggered crash",)),),
    ),
)
