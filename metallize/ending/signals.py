"""The signals that end a command, and the threads that die of a bug: each interrupts the main thread."""

from __future__ import annotations

import _thread
import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Takes the signals; one that is ignored (nohup, a job in the background) stays so.

    First they are only remembered: an exception in the middle of an import may be swallowed there.
    """

    def __init__(self, *, for_good: bool) -> None:
        self._for_good = for_good
        self._raises = False
        self._told = False
        self.broken: BaseException | None = None
        """What a thread has died of."""
        self._hook = threading.excepthook
        self._before: dict[signal.Signals, Any] = {}
        threading.excepthook = self._thread_died
        if threading.current_thread() is threading.main_thread():
            for number in _NUMBERS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._heard)

    def raise_from_now_on(self) -> None:
        """Raises KeyboardInterrupt, also where a signal came before."""
        self._raises = True
        self.check()

    def check(self) -> None:
        """Raises KeyboardInterrupt where a signal came that was not raised yet, or a thread has died."""
        if self._told or self.broken is not None:
            self._told = False
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """No signal ends anything any more."""
        self._raises = False

    def end(self) -> None:
        """All as before; for good, whatever comes while Python ends kills it, with no traceback."""
        threading.excepthook = self._hook
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if self._for_good else handler)

    def _heard(self, _number: int, _frame: object) -> None:
        if not self._raises:
            self._told = True
            return
        raise KeyboardInterrupt

    def _thread_died(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_type is SystemExit:
            return
        self.broken = self.broken or args.exc_value or args.exc_type()
        _thread.interrupt_main(signal.SIGTERM)
