"""Several machines of one image at a time: each boots in a thread of its own, as far as the host has room for them."""

from __future__ import annotations

import ctypes
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from metallize.errors import HostError
from metallize.host.admission import room_beside
from metallize.host.turns import Need
from metallize.patience import BESIDE_AGAIN as _AGAIN_SECONDS
from metallize.patience import BESIDE_LOOK as _LOOK_SECONDS

T = TypeVar("T")


class Cancelled(BaseException):
    """Raised in the thread of a machine whose boot is to end, so that it releases what it holds."""


class _Work(Generic[T]):
    """One machine's boot in a thread of its own. QEMU is killed when the thread that started it ends: this one."""

    def __init__(
        self, number: int, need: Need, work: Callable[[], T], ended: queue.SimpleQueue[_Work[T] | None]
    ) -> None:
        self.number = number
        self.need = need
        self.values: list[T] = []
        self.error: BaseException | None = None
        self._work = work
        self._ended = ended
        self._lock = threading.Lock()
        self._over = False
        self.thread = threading.Thread(target=self._run, name=need.what, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            try:
                value = self._work()
            finally:
                with self._lock:  # from here on nobody interrupts it any more
                    self._over = True
            self.values.append(value)
        except BaseException as exc:  # noqa: BLE001 - handed to whoever waits
            self.error = exc
        finally:
            self._ended.put(self)

    def value(self) -> T:
        """What it returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.values[0]

    def cancel(self) -> None:
        """Raise Cancelled in it, where it still works (PyThreadState_SetAsyncExc)."""
        with self._lock:
            if not self._over and self.thread.ident is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self.thread.ident), ctypes.py_object(Cancelled)
                )


def side_by_side(
    works: Sequence[tuple[Need, Callable[[], T]]],
    ended: Callable[[int, T], Sequence[tuple[Need, Callable[[], T]]]] = lambda _number, _value: (),
) -> tuple[T, ...]:
    """Call each, in this order and together as far as the host has room; what each returned, in the same order.

    One that does not fit beside those that run lets smaller ones go first. `ended` is called here with the number of
    each that has ended and with what it returned; what it gives back is done behind the others, and numbered on.

    Whatever one raises ends the others, and so does SIGINT, SIGTERM or SIGHUP where this is the main thread, as
    KeyboardInterrupt: it is raised on when all have ended and released what they held.
    """
    over: queue.SimpleQueue[_Work[T] | None] = queue.SimpleQueue()
    waiting = list(enumerate(works))
    running: list[_Work[T]] = []
    done: dict[int, T] = {}
    count = len(waiting)
    with _signals_as(lambda: over.put(None)):
        try:
            while waiting or running:
                while (following := _fits(waiting, running)) is not None:
                    number, (need, work) = waiting.pop(following)
                    running.append(_Work(number, need, work, over))
                last = _next(over)
                if last is not None:
                    running.remove(last)
                    done[last.number] = last.value()
                    more = ended(last.number, done[last.number])
                    waiting += enumerate(more, start=count)
                    count += len(more)
        except BaseException:
            _end(running)
            raise
    return tuple(done[number] for number in range(count))


def unless(lost: Callable[[], str], need: Need, work: Callable[[], T]) -> T:
    """Call it in a thread of its own, and end it as soon as `lost` says why nobody wants it any more.

    Raises HostError then, when it has released what it held; else whatever it raises.
    """
    over: queue.SimpleQueue[_Work[T] | None] = queue.SimpleQueue()
    running = _Work(0, need, work, over)
    try:
        while _next(over) is None:
            why = lost()
            if why:
                raise HostError(why)  # noqa: TRY301 - it ends the boot as a signal does
    except BaseException:
        _end([running])
        raise
    return running.value()


def _fits(waiting: Sequence[tuple[int, tuple[Need, object]]], running: Sequence[_Work[T]]) -> int | None:
    """The place of the first that may start beside those that run; None where none may."""
    needs = [each.need for each in running]
    return next((place for place, (_, (need, _)) in enumerate(waiting) if room_beside(need, needs)), None)


@contextmanager
def _signals_as(told: Callable[[], None]) -> Iterator[None]:
    """Have signals tell instead of interrupt, in the main thread; one that is ignored (nohup) stays so.

    An exception between a thread's start and its place in a list, or while the others are ended, would leave a guest.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    changed = {
        number: signal.signal(number, lambda *_: told())
        for number in numbers
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield
    finally:
        for number, before in changed.items():
            signal.signal(number, before)


def _next(ended: queue.SimpleQueue[_Work[T] | None]) -> _Work[T] | None:
    """The next that has ended; None where there is none for a moment. Raises KeyboardInterrupt at a signal."""
    try:
        over = ended.get(timeout=_LOOK_SECONDS)
    except queue.Empty:
        return None
    if over is None:
        raise KeyboardInterrupt
    return over


def _end(running: Sequence[_Work[T]]) -> None:
    """Cancel all of them and wait until they have ended."""
    again = 0.0
    while any(each.thread.is_alive() for each in running):
        if time.monotonic() >= again:
            again = time.monotonic() + _AGAIN_SECONDS
            for each in running:
                each.cancel()
        for each in running:
            each.thread.join(_LOOK_SECONDS)
