"""The outermost layer of the command: signals, what nobody foresaw, and the exit status.

Nothing is imported here that takes time: an interruption is heard from the first moment on.
"""

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from metallize.ending.signals import Interruption


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    SIGTERM and SIGHUP end it as Ctrl-C does, leaving nothing behind. What nobody foresaw is a bug and ends with 3:
    1 means that the image failed its boot assertions, and nothing else.
    """
    try:
        from metallize.ending.signals import Interruption  # noqa: PLC0415 - nothing is imported before main is entered

        interruption = Interruption(for_good=argv is None)
        try:
            return _run(sys.argv[1:] if argv is None else list(argv), interruption)
        finally:
            interruption.end()
    except KeyboardInterrupt:  # before anything was begun, or one more while the first was told of
        return _INTERRUPTED


_INTERRUPTED = 130


def _run(words: Sequence[str], interruption: Interruption) -> int:
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        _open_streams()
        from metallize.commands import line  # noqa: PLC0415 - nothing is imported before main is entered

        line.load(words)  # takes half a second, in which no signal is lost
        interruption.raise_from_now_on()
        status = line.run(words)
        sys.stdout.flush()
        interruption.check()
    except SystemExit:  # --help and --version
        raise
    except BaseException as exc:  # noqa: BLE001 - Python itself would end with 1
        interruption.ignore()  # all is released already; nothing but words is to come
        from metallize.ending import status as endings  # noqa: PLC0415 - seldom needed

        return endings.told(exc, words, interruption.broken, begun)
    return status


def _open_streams() -> None:
    """Where standard output or error is closed (`>&-`), Python has none: what is written goes nowhere then."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until the end; pathlib takes time
            setattr(sys, name, stream)


if __name__ == "__main__":
    sys.exit(main())
