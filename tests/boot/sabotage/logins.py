"""Sabotage of the way in: getty, the account, its shell, and what the console says of them."""

from __future__ import annotations

from collections.abc import Callable

from metallize.model.report import Stage
from tests.boot.sabotage.images import Disk
from tests.boot.sabotage.languages import in_chinese, speaks
from tests.boot.sabotage.recipe import Failed, Recipe

GETTY = "serial-getty@ttyS0.service"
MUST_CHANGE = "must be changed at first login"
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


def on_another_port(disk: Disk) -> None:
    disk.parameters("systemd.getty_auto=0")
    disk.link(
        "/etc/systemd/system/getty.target.wants/serial-getty@ttyS1.service",
        "/usr/lib/systemd/system/serial-getty@.service",
    )


def sshd_says(line: str) -> Callable[[Disk], None]:
    """A setting of sshd's."""
    return lambda disk: disk.put("/etc/ssh/sshd_config.d/sabotage.conf", f"{line}\n")


def stalling_server(disk: Disk) -> None:
    """In sshd's place, what says that it is sshd and nothing more."""
    folder = "/etc/systemd/system"
    disk.mask("ssh.service", "ssh.socket")
    disk.put("/usr/local/bin/stall", "#!/bin/sh\nprintf 'SSH-2.0-OpenSSH_10.0\\r\\n'\nexec sleep 100000\n", mode=0o755)
    disk.put(f"{folder}/stall.socket", "[Unit]\nDescription=No SSH\n[Socket]\nListenStream=22\nAccept=yes\n")
    disk.put(
        f"{folder}/stall@.service",
        "[Service]\nExecStart=/usr/local/bin/stall\nStandardInput=socket\nStandardOutput=socket\n",
    )
    disk.link(f"{folder}/sockets.target.wants/stall.socket", f"{folder}/stall.socket")


def autologin(disk: Disk) -> None:
    getty = "/sbin/agetty --autologin root --noclear --keep-baud 115200,57600,38400,9600 - $TERM"
    disk.drop_in(GETTY, f"[Service]\nExecStart=\nExecStart=-{getty}\n")


def change_at_login(disk: Disk) -> None:
    disk.replace("/etc/shadow", r"(?m)^(admin:[^:]*):\d+:", r"\1:0:")


def change_at_login_in_german(disk: Disk) -> None:
    speaks(disk, "de_DE")
    change_at_login(disk)


def no_login(*words: str, stage: Stage = Stage.LOGIN, seconds: float = 15) -> tuple[Failed, ...]:
    """The verdict on a serial login that fails after so long on a host of normal speed, with what is said of it."""
    return (Failed(stage=stage, result="serial login as admin", words=words, seconds=seconds, scaled=True),)


def no_ssh(*words: str, stage: Stage = Stage.READY, seconds: float = 15) -> tuple[Failed, ...]:
    return (Failed(stage=stage, result="ssh login as admin", words=words, seconds=seconds, scaled=True),)


RECIPES = (
    Recipe(
        name="masked-getty",
        summary="no getty on the serial port, which is masked",
        disk=lambda disk: disk.mask(GETTY),
        expected=no_login(f"{GETTY} is masked", stage=Stage.READY, seconds=4),
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
        expected=no_login("refused", stage=Stage.READY),
    ),
    Recipe(
        name="locked-account",
        summary="the account is locked (passwd -l)",
        disk=lambda disk: disk.replace("/etc/shadow", r"(?m)^admin:", "admin:!"),
        ssh={"user": "admin", "key": "ephemeral"},
        expected=no_login("locked", stage=Stage.READY),
    ),
    Recipe(
        name="expired-account",
        summary="the account has expired (chage -E)",
        disk=lambda disk: disk.replace("/etc/shadow", r"(?m)^(admin:(?:[^:]*:){6})[^:]*:", r"\g<1>1:"),
        ssh=None,
        expected=no_login("closed", "expired"),
    ),
    Recipe(
        name="forced-password-change",
        summary="the password must be changed at the first login (chage -d 0)",
        disk=change_at_login,
        ssh=None,
        expected=no_login(MUST_CHANGE, "required to change your password"),
    ),
    Recipe(
        name="forced-password-change-in-german",
        summary="the password must be changed at the first login, on a console that speaks German",
        disk=change_at_login_in_german,
        ssh=None,
        expected=no_login(MUST_CHANGE, "müssen Ihr Passwort sofort ändern", seconds=20),
    ),
    Recipe(
        name="no-logins-allowed",
        summary="/etc/nologin was left behind",
        disk=lambda disk: disk.put("/etc/nologin", "Down for maintenance until Monday.\n"),
        ssh=None,
        expected=no_login("Down for maintenance"),
    ),
    Recipe(
        name="shell-is-missing",
        summary="the user's shell is not installed",
        disk=lambda disk: disk.replace("/etc/passwd", r"(?m)^(admin:.*):[^:]*$", r"\1:/usr/bin/zsh"),
        ssh=None,
        expected=no_login("shell cannot be run", "no shell"),
    ),
    Recipe(
        name="profile-exits",
        summary="a script of /etc/profile.d ends the shell that reads it",
        disk=lambda disk: disk.put("/etc/profile.d/zz.sh", "exit 1\n"),
        ssh=None,
        expected=no_login("/etc/profile.d"),
    ),
    Recipe(
        name="profile-hangs",
        summary="a script of /etc/profile.d waits for what never comes",
        disk=lambda disk: disk.put("/etc/profile.d/zz.sh", "sleep 100000\n"),
        ssh=None,
        expected=no_login("/etc/profile", seconds=60),
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
        name="ssh-shell-is-false",
        summary="SSH takes the login, and the account's shell is /bin/false",
        disk=lambda disk: disk.replace("/etc/passwd", r"(?m)^(admin:.*):[^:]*$", r"\1:/bin/false"),
        login=None,
        expected=no_ssh("lets admin in", "status 1", "false or nologin", stage=Stage.LOGIN),
    ),
    Recipe(
        name="forced-command",
        summary="sshd runs something else than a shell",
        disk=sshd_says("ForceCommand /bin/echo Backups only."),
        expected=no_ssh("it printed 'Backups only.'", "ForceCommand"),
    ),
    Recipe(
        name="max-sessions-0",
        summary="sshd takes the login and opens no session",
        disk=sshd_says("MaxSessions 0"),
        expected=no_ssh("opens no session", "MaxSessions"),
    ),
    Recipe(
        name="hardened-ciphers",
        summary="sshd speaks a cipher that not every client knows; it must pass",
        disk=sshd_says("Ciphers chacha20-poly1305@openssh.com"),
    ),
    Recipe(
        name="handshake-stalls",
        summary="what listens on port 22 says that it is an SSH server, and nothing more",
        disk=stalling_server,
        expected=no_ssh("it said nothing more", seconds=60),
    ),
    Recipe(
        name="allowusers",
        summary="sshd lets others in than the profile's user",
        disk=sshd_says("AllowUsers nobody"),
        expected=no_ssh("not listed in AllowUsers"),
    ),
    Recipe(
        name="host-key-too-open",
        summary="anybody may read the host keys, so that sshd takes none of them",
        disk=lambda disk: disk.drop_in(
            "ssh.service", '[Service]\nExecStartPre=/bin/sh -c "chmod 0644 /etc/ssh/ssh_host_*_key"\n'
        ),
        expected=no_ssh("are too open", "chmod 600"),
    ),
    Recipe(
        name="shell-instead-of-login",
        summary="the kernel is told to start a shell (init=/bin/bash)",
        disk=lambda disk: disk.parameters("init=/bin/bash"),
        expected=(
            Failed(
                stage=Stage.INITRD, rule="shell-instead-of-login", words=("init=/bin/bash",), seconds=15, scaled=True
            ),
        ),
    ),
    Recipe(
        name="autologin-getty",
        summary="the serial port's getty logs root in by itself",
        disk=autologin,
        expected=no_login("--autologin", stage=Stage.READY),
    ),
)
