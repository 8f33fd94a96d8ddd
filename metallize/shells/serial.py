"""A shell on the serial port, which shares its line with the kernel and with every other writer.

A script goes to a file in the guest, its output to another, and that is read as numbered lines with a checksum:
what was disturbed is asked for again, in both directions, and a script never runs twice or in part.
"""

from __future__ import annotations

from collections.abc import Sequence

from metallize.console.interrupted import without_kernel_lines
from metallize.deadline import Deadline
from metallize.guest import Console, ShellError, ShellOutput, Watch
from metallize.patience import SERIAL_ASK as ASK_SECONDS
from metallize.patience import SERIAL_STUCK as STUCK_SECONDS
from metallize.shells.answer import Answer, encode, sed_lines
from metallize.shells.dialogue import Dialogue

ATTEMPTS = 3
MOST_REQUESTS = 12
"""For the lines of one answer."""
WINDOW_LINES = 32
"""Typed before the guest has said that it has them: fewer characters than a terminal holds (N_TTY's 4096)."""
MOST_ASKED = 3

# Each function is one line of at most a few hundred characters, for it is typed at a terminal.
_FUNCTIONS = (
    r"""mzm() { printf '\n%s%s\n' mz- $1; }""",
    # read what is typed, up to a line that is `:`, and say so after each window
    (
        r"""mzr() { n=0; { while IFS= read -r l; do [ "$l" = : ] && break; echo "$l"; n=$((n+1)); """
        rf"""[ $((n % {WINDOW_LINES})) = 0 ] && mzm got-$1-$n >&3; done; }} 3>&1 >$mz/i; }}"""
    ),
    # print lines of the answer
    (
        r"""mzp() { [ -s $mz/b ] || { mzm none-$1-0; return; }; c=$(($(wc -l <$mz/b))); mzm begin-$1-$c; """
        r"""if [ "$2" ]; then cat -n $mz/b | sed -n "$2"; else cat -n $mz/b; fi; mzm end-$1-$c; }"""
    ),
    # run a script that has come whole
    (
        r"""mzx() { : >$mz/b; mzm go-$1; mzr $1; base64 -d <$mz/i 2>/dev/null | gzip -dc >$mz/s 2>/dev/null """
        r"""|| { mzm bad-$1; return; }; mzm ran-$1; sh $mz/s >$mz/o 2>$mz/e </dev/null; """
        r"""{ echo $?; wc -c <$mz/o; cat $mz/o $mz/e; } | gzip -c | base64 >$mz/b; mzp $1; }"""
    ),
)
_BEGIN = (
    "set +o emacs 2>/dev/null; for mz in /dev/shm /run /tmp; do [ -w $mz ] && break; done; "
    "mz=$mz/.metallize.$$; mkdir -p -m 700 $mz; "
    "while read -r k r u x; do [ $k = Uid: ] && break; done </proc/self/status; "
    "[ x$u = x0 ] && dmesg -n 1 >/dev/null 2>&1; "
    "command -v base64 gzip sed cat >/dev/null && mz_has=has || mz_has=no; "
    "printf '\\n%s%s\\n' mz- $mz_has-tools\r"
)
_LACKING = "no-tools"
_FROM_HERE = r"\A"
"""What a mark that is an expression by itself begins with."""


class SerialShell:
    """A shell on the serial port, already logged in."""

    name = "serial"

    def __init__(self, console: Console, watch: Watch) -> None:
        self._console = console
        self._watch = watch
        self._talk = Dialogue(console, watch)
        self._number = 0
        self._started = False

    def start(self, deadline: Deadline) -> None:
        """Make the login shell a plain one, whichever it is. Raises ShellError when none answers.

        An interactive shell may take all that was typed ahead with it: each step waits for the one before.
        """
        self._step(
            "exec env PS1= PS2= PROMPT_COMMAND= ENV= TERM=dumb HISTFILE= "
            "sh -c 'stty -echo cols 250; printf \"\\n%s%s\\n\" mz- shell-started; exec sh'\r",
            ("shell-started",),
            deadline,
            "no shell answered after the login",
        )
        # the rest in one go: fewer characters than a terminal holds, and each line tells that it has come
        lines = [_BEGIN, *(rf"{each}; printf '\n%s%s\n' mz- shell-{n}" + "\r" for n, each in enumerate(_FUNCTIONS))]
        told = ["has-tools", *(f"shell-{n}" for n, _ in enumerate(_FUNCTIONS))]
        whole = _FROM_HERE + "".join(rf"(?>(?:.*\n)*?mz-{each}\n)" for each in told)
        if self._step("".join(lines), (whole, _LACKING), deadline, "the shell did not become a plain one") == _LACKING:
            raise ShellError("the guest has no base64, gzip, sed or cat, with which scripts go over the serial line")
        self._started = True

    def run(self, script: str, deadline: Deadline) -> ShellOutput:
        if not self._started:
            self.start(deadline)
        for _ in range(ATTEMPTS):
            if self._hand_over(encode(script), deadline):
                return self._read(deadline)
            if deadline.expired:
                break
        raise ShellError(f"the serial line garbled the script {ATTEMPTS} times")

    def leave(self) -> None:
        """Log out; getty comes back."""
        self._talk.send("rm -rf $mz; stty sane 2>/dev/null; exit\r")

    def close(self) -> None:
        """Nothing to close: the port is the machine's."""

    def _step(self, line: str, marks: Sequence[str], deadline: Deadline, problem: str) -> str:
        """Type a line until one of its marks comes back."""
        patterns = {mark: mark if mark.startswith(_FROM_HERE) else rf"(?:^|\n)mz-{mark}\n" for mark in marks}
        for _ in range(ATTEMPTS):
            self._talk.send(line)
            came = self._talk.first_of(patterns, deadline.sooner(10 * self._watch.slowness, "a shell"))
            if came is not None:
                return came
            if deadline.expired:
                break
            self._talk.send("\x15\r")  # what is left of a line that came in part
        raise ShellError(problem)

    def _hand_over(self, lines: Sequence[str], deadline: Deadline) -> bool:
        """Type a script that the guest runs when all of it has come; whether it runs."""
        self._number += 1
        number, slowness = self._number, self._watch.slowness
        self._talk.position = self._console.position
        for _ in range(ATTEMPTS):
            self._talk.send(f"mzx {number}\r")
            limit = deadline.sooner(10 * slowness, "the shell to listen")
            if self._talk.first_of({"go": rf"\nmz-go-{number}\n"}, limit) is not None:
                break
            self._talk.send(":\r")  # a shell that reads a script ends to, one that does not does nothing
            self._number += 1
            number = self._number
        else:
            raise ShellError("the serial shell does not answer")
        for at in range(0, len(lines), WINDOW_LINES):
            window = lines[at : at + WINDOW_LINES]
            self._talk.send("".join(f"{line}\r" for line in window))
            if len(window) == WINDOW_LINES:
                limit = deadline.sooner(STUCK_SECONDS * slowness, "the guest to take a part of the script")
                self._talk.first_of({"got": rf"\nmz-got-{number}-{at + WINDOW_LINES}\n"}, limit)
        ends = {"ran": rf"\nmz-ran-{number}\n", "bad": rf"\nmz-bad-{number}\n", "end": rf"mz-end-{number}-\d+\n"}
        came = None
        for _ in range(ATTEMPTS):
            position = self._talk.position
            self._talk.send(":\r")
            came = self._talk.first_of(ends, deadline.sooner(5 * slowness, "the guest to take the script"))
            if came is not None:
                self._talk.position = position
                break
        return came != "bad"  # whatever was lost of what the guest said: a script must not run twice

    def _read(self, deadline: Deadline) -> ShellOutput:
        """Wait for the answer, and ask again for what of it was disturbed."""
        answer, first = Answer(), self._number
        requests = asked = 0
        while True:
            pause = ASK_SECONDS * 2**asked if asked < MOST_ASKED else deadline.remaining + 1
            if not self._await_end(answer, first, deadline, pause * self._watch.slowness):
                self._talk.send("\x03")
                raise ShellError(f"no end of the script within the time for {deadline.purpose}")
            if answer.lost:
                raise ShellError("the serial line lost the script")
            missing = answer.missing
            if missing is not None:
                output = answer.output()
                if output is not None:
                    return output
                if not missing:
                    answer.forget()
                requests += 1
            else:
                asked += 1  # the script may still run, or all of its answer was lost
            if requests > MOST_REQUESTS:
                raise ShellError(f"the serial line garbled the answer {requests} times")
            self._number += 1
            wanted = f" '{sed_lines(missing)}'" if missing and len(missing) < 100 else ""  # noqa: PLR2004 - a line's length
            self._talk.send(f"mzp {self._number}{wanted}\r")

    def _await_end(self, answer: Answer, first: int, deadline: Deadline, pause: float) -> bool:
        """Wait for the last request's end, or until nothing more comes of it; False when the time is over."""
        asked = Deadline.after(pause, "another look")
        idle, most_idle = self._watch.idle_meter(), pause / self._watch.slowness
        stuck = STUCK_SECONDS * self._watch.slowness
        begun = self._console.position

        def look() -> bool | None:
            text, original = without_kernel_lines(self._console.since(self._talk.position))
            end = text.rfind("\n") + 1
            if end:
                answer.take(text[:end], first)
                self._talk.position += original(end - 1) + 1
            if self._number in answer.ended or answer.lost or asked.expired or idle() >= most_idle:
                return True
            came = answer.missing is not None and self._console.position > begun
            return True if came and self._console.quiet_seconds >= stuck else None

        return bool(self._watch.wait(look, deadline))
