"""Where a boot stops at a prompt, the prompt is asked what can be seen from there.

An initrd's shell may have nothing but klibc's tools, so that commands are typed one by one and what they print is
read as it comes, between two markers that the echo of the command cannot show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from metallize.deadline import Deadline
from metallize.guest import Console, GuestFailed, ShellError, Watch
from metallize.model.boot import Login
from metallize.model.report import Finding
from metallize.shells.dialogue import Dialogue

RESCUE_SECONDS = 8.0
"""For everything, on a host of normal speed."""
LONGEST_SECONDS = 40.0
"""On any host."""
SEEN_CHARACTERS = 8000
"""So far back a prompt is looked for: kernel messages may have come after it."""
ANSWER_SHARE = 4
"""A prompt that has not shown a sign of life after this part of the time never will."""

_INITRD = (
    "cat /boot.log",  # live-boot's own
    "cat /proc/cmdline",
    "cat /proc/partitions",
    "blkid",
    "echo /dev/disk/by-*/*",  # klibc has no `ls -l`
    "cat /proc/mounts",
    "cat /conf/param.conf",
    "cat /proc/modules",
    "dmesg",
)
_EMERGENCY = (
    "systemctl list-units --state=failed --plain --full --no-pager",
    "systemctl list-jobs --full --no-pager",
    "journalctl -b -p warning -n 100 --no-pager -o short-monotonic",
    "cat /etc/fstab",
    "cat /proc/cmdline",
    "cat /proc/mounts",
    "lsblk -f",
    "dmesg",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A prompt at which a boot can stop: what is asked there, and the file that keeps the answers."""

    file: str
    commands: Sequence[str]


INITRD = Place(file="initramfs.txt", commands=_INITRD)
EMERGENCY = Place(file="emergency.txt", commands=_EMERGENCY)
PLACES = {
    "initrd-shell": INITRD,
    "initrd-root-missing": INITRD,
    "initrd-no-live-medium": INITRD,
    "initrd-no-init": INITRD,
    "initrd-mount-failed": INITRD,
    "initrd-root-unmountable": INITRD,
    "initrd-dracut": INITRD,
    "emergency-mode": EMERGENCY,
}
"""By the rule that ended the boot."""

_LOCKED = r"root account is locked"
_PASSWORD = r"(?i)root password for (?:system )?maintenance[^\n]*\n[^\n]*Control-D[^\n:]*: ?"  # noqa: S105 - a pattern
_ENTER = r"(?i)Press Enter for (?:system )?maintenance[^\n]*\n[^\n]*Control-D[^\n:]*: ?"
"""sulogin(8)'s two lines; kernel messages may follow them."""
_SHELL = r"\(initramfs\) ?\Z|(?:^|\n)[^\n]*[#$] ?\Z"
_WRONG = r"Login incorrect|incorrect password"


def rescue(
    console: Console, watch: Watch, folder: Path, failure: Finding | None, *, login: Login | None, slowness: float
) -> str | None:
    """Collect what can be seen from the prompt at which the boot ended; returns what a person should know of it.

    The verdict has been decided, and the watch been told that the machine is ending: no wait fails any more.
    """
    place = PLACES.get(failure.rule) if failure is not None else None
    if place is None:
        return None
    deadline = Deadline.after(min(RESCUE_SECONDS * slowness, LONGEST_SECONDS), "what the prompt can tell")
    talk = Dialogue(console, watch)
    talk.position = max(0, talk.position - SEEN_CHARACTERS)
    try:
        problem = _reach_shell(talk, login, deadline, nudged=place is INITRD)
        if problem is not None:
            return f"nothing was collected where the boot stopped: {problem}"
        answers = list(_ask(talk, place.commands, deadline))
    except (GuestFailed, ShellError, OSError):
        return None
    if not answers:
        return "nothing was collected where the boot stopped: its prompt did not answer"
    (folder / place.file).write_text("\n".join(answers), encoding="utf-8")
    return f"{len(answers)} of {len(place.commands)} things to see were collected where the boot stopped: {place.file}"


def _reach_shell(talk: Dialogue, login: Login | None, deadline: Deadline, *, nudged: bool) -> str | None:
    """Why there is no shell, or None when its prompt is there.

    A newline shows a shell's prompt again where kernel messages came after it, but is a wrong password to sulogin.
    """
    patterns = {"locked": _LOCKED, "wrong": _WRONG, "password": _PASSWORD, "enter": _ENTER, "shell": _SHELL}
    answered = False
    for _ in range(4):
        limit = deadline.sooner(deadline.remaining / ANSWER_SHARE, "a prompt")
        nudge = (lambda: talk.send("\r")) if nudged or answered else None
        came = talk.first_of(patterns, limit, on_quiet=nudge)
        match came:
            case "shell":
                return None
            case "enter":
                talk.send("\r")
                answered = True
            case "password" if login is not None and login.user == "root":
                talk.send(f"{login.password}\r")
                answered = True
            case "password":
                return "the emergency shell asks for root's password, which the profile does not declare"
            case "locked":
                return "root's account is locked, so that the emergency mode of this image has no shell"
            case "wrong" if answered:
                return "the emergency shell does not take the password that the profile declares for root"
            case "wrong":
                continue
            case _:
                return "no prompt came"
    return "no shell came"


def _ask(talk: Dialogue, commands: Sequence[str], deadline: Deadline) -> Iterable[str]:
    """Each command with what it printed, as long as there is time; one that does not end is interrupted."""
    talk.send("PAGER=cat SYSTEMD_COLORS=0 TERM=dumb; export PAGER SYSTEMD_COLORS TERM\r")
    for number, command in enumerate(commands):
        if deadline.expired:
            return
        # The quotes are the echo's alone: what it shows is not the marker.
        talk.send(f"echo mz''-begin-{number}; {command} 2>&1; echo mz''-end-{number}\r")
        limit = deadline.sooner(deadline.remaining / ANSWER_SHARE, "an answer")
        begin = talk.first_of({"begin": rf"mz-begin-{number}\n"}, limit)
        if begin is None and number == 0:
            return
        start = talk.position
        end = begin and talk.first_of(
            {"end": rf"mz-end-{number}\n"}, deadline.sooner(deadline.remaining / 2, "the command's end")
        )
        text = talk.text_between(start, talk.position) if end else talk.seen()
        if end is None:
            talk.send("\x03\r")
        if begin:
            body = text.rpartition(f"mz-end-{number}")[0] if end else f"{text}\n(no end within the time)"
            yield f"$ {command}\n{body.rstrip()}\n"
