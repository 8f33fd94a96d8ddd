"""Sabotage of what starts once there is a root: mounts, units, getty and logins."""

from __future__ import annotations

from metallize.model.report import Stage
from tests.boot.sabotage.images import Disk
from tests.boot.sabotage.languages import in_chinese, speaks
from tests.boot.sabotage.recipe import Failed, Recipe

WRONG_ID = "00000000-1111-2222-3333-444444444444"
GETTY = "serial-getty@ttyS0.service"
UDEV_SOCKETS = ("kernel", "control")
NAME_SUITE = """\
command:
  hostname:
    exec: cat /proc/sys/kernel/hostname
    exit-status: 0
    stdout: [web1]
"""
PROMPTS = """\
Debian GNU/Linux 13 \\\\n \\\\l
Last login: Mon Nov 23 on ttyS0
web login: nobody
Password:
Login incorrect
root@web:~#
$ \\n
"""
"""getty(8) turns \\\\n into the host's name."""


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


def on_another_port(disk: Disk) -> None:
    disk.parameters("systemd.getty_auto=0")
    disk.link(
        "/etc/systemd/system/getty.target.wants/serial-getty@ttyS1.service",
        "/usr/lib/systemd/system/serial-getty@.service",
    )


def stuck(disk: Disk) -> None:
    disk.service("stuck", "Type=oneshot\nExecStart=/bin/sleep infinity")


def harmless_panic(disk: Disk) -> None:
    """With the service's name before it, and bare."""
    word = "ExecStart=/bin/echo 'Kernel panic - not syncing: only a word'"
    disk.service("harmless", f"Type=oneshot\nStandardOutput=journal+console\n{word}")
    disk.service("harmless-too", f"Type=oneshot\nStandardOutput=tty\nTTYPath=/dev/ttyS0\n{word}")


def change_at_login(disk: Disk) -> None:
    disk.replace("/etc/shadow", r"(?m)^(admin:[^:]*):\d+:", r"\1:0:")


def change_at_login_in_german(disk: Disk) -> None:
    speaks(disk, "de_DE")
    change_at_login(disk)


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
        cheap=True,
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
        name="masked-getty",
        summary="no getty on the serial port, which is masked",
        disk=lambda disk: disk.mask(GETTY),
        expected=(
            Failed(
                stage=Stage.READY, result="serial login as admin", words=(f"{GETTY} is masked",), seconds=4, scaled=True
            ),
        ),
    ),
    Recipe(
        name="getty-on-another-port",
        summary="the getty listens on ttyS1",
        disk=on_another_port,
        expected=(Failed(stage=Stage.READY, result="serial login as admin", words=("ttyS1", "ttyS0")),),
    ),
    Recipe(
        name="no-console",
        summary="no console= on the kernel's command line",
        disk=lambda disk: disk.parameters(without=r"console=ttyS0\S*"),
        expected=(Failed(stage=Stage.READY, result="serial login as admin", words=("console=ttyS0",)),),
    ),
    Recipe(
        name="wrong-password",
        summary="the image's password is not the profile's",
        login={"user": "admin", "password": "guess"},
        expected=(
            Failed(stage=Stage.READY, result="serial login as admin", words=("refused",), seconds=15, scaled=True),
        ),
    ),
    Recipe(
        name="locked-account",
        summary="the account is locked (passwd -l)",
        disk=lambda disk: disk.replace("/etc/shadow", r"(?m)^admin:", "admin:!"),
        ssh={"user": "admin", "key": "ephemeral"},
        expected=(
            Failed(stage=Stage.READY, result="serial login as admin", words=("locked",), seconds=15, scaled=True),
        ),
    ),
    Recipe(
        name="expired-account",
        summary="the account has expired (chage -E)",
        disk=lambda disk: disk.replace("/etc/shadow", r"(?m)^(admin:(?:[^:]*:){6})[^:]*:", r"\g<1>1:"),
        ssh=None,
        expected=(
            Failed(
                stage=Stage.LOGIN, result="serial login as admin", words=("closed", "expired"), seconds=15, scaled=True
            ),
        ),
    ),
    Recipe(
        name="forced-password-change",
        summary="the password must be changed at the first login (chage -d 0)",
        disk=change_at_login,
        ssh=None,
        expected=(
            Failed(
                stage=Stage.LOGIN,
                result="serial login as admin",
                words=("must be changed at first login", "required to change your password"),
                seconds=15,
                scaled=True,
            ),
        ),
    ),
    Recipe(
        name="forced-password-change-in-german",
        summary="the password must be changed at the first login, on a console that speaks German",
        disk=change_at_login_in_german,
        ssh=None,
        expected=(
            Failed(
                stage=Stage.LOGIN,
                result="serial login as admin",
                words=("must be changed at first login", "müssen Ihr Passwort sofort ändern"),
                seconds=20,
                scaled=True,
            ),
        ),
    ),
    Recipe(
        name="no-logins-allowed",
        summary="/etc/nologin was left behind",
        disk=lambda disk: disk.put("/etc/nologin", "Down for maintenance until Monday.\n"),
        ssh=None,
        expected=(
            Failed(
                stage=Stage.LOGIN,
                result="serial login as admin",
                words=("Down for maintenance",),
                seconds=15,
                scaled=True,
            ),
        ),
    ),
    Recipe(
        name="shell-is-missing",
        summary="the user's shell is not installed",
        disk=lambda disk: disk.replace("/etc/passwd", r"(?m)^(admin:.*):[^:]*$", r"\1:/usr/bin/zsh"),
        ssh=None,
        expected=(
            Failed(
                stage=Stage.LOGIN,
                result="serial login as admin",
                words=("shell cannot be run", "no shell"),
                seconds=15,
                scaled=True,
            ),
        ),
    ),
    Recipe(
        name="profile-exits",
        summary="a script of /etc/profile.d ends the shell that reads it",
        disk=lambda disk: disk.put("/etc/profile.d/zz.sh", "exit 1\n"),
        ssh=None,
        expected=(
            Failed(
                stage=Stage.LOGIN, result="serial login as admin", words=("/etc/profile.d",), seconds=15, scaled=True
            ),
        ),
    ),
    Recipe(
        name="profile-hangs",
        summary="a script of /etc/profile.d waits for what never comes",
        disk=lambda disk: disk.put("/etc/profile.d/zz.sh", "sleep 100000\n"),
        ssh=None,
        expected=(
            Failed(stage=Stage.LOGIN, result="serial login as admin", words=("/etc/profile",), seconds=60, scaled=True),
        ),
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
        ssh=None,
    ),
    Recipe(
        name="logins-in-german",
        summary="the serial port's getty asks for the password in German; it must pass",
        disk=lambda disk: speaks(disk, "de_DE"),
        ssh=None,
    ),
    Recipe(
        name="logins-in-chinese",
        summary="prompts and refusals are Chinese, with colons of their own; it must pass",
        disk=in_chinese,
        ssh=None,
    ),
    Recipe(
        name="banner-that-looks-like-a-prompt",
        summary="what getty shows before its prompt is full of prompts; it must pass",
        disk=lambda disk: disk.put("/etc/issue", PROMPTS),
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
        summary="a service prints 2 MB on the console while the system starts; it must pass",
        disk=lambda disk: disk.service(
            "flood",
            'ExecStart=/bin/sh -c \'yes "login: # the same line again and again, 70 characters of it, to and fro" '
            "| head -c 2000000 >/dev/console'",
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
