"""Something that goes on beside the main thread, and whose outcome the main thread waits for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from metallize.console.watch import BootWatch
from metallize.errors import MetallizeError
from metallize.guest import GuestFailed, ShellError

T = TypeVar("T")


class Task(Generic[T]):
    """Runs a function in a thread; `value` raises what the function raised.

    What nobody foresaw ends every wait for the guest besides: it is raised even where nobody asks for the value.
    """

    def __init__(self, name: str, work: Callable[[], T], watch: BootWatch) -> None:
        self.name = name
        self._work = work
        self._watch = watch
        self._value: T | None = None
        self._error: BaseException | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    @property
    def error(self) -> BaseException | None:
        """What the function raised, once it is done."""
        return self._error

    def value(self) -> T:
        """What the function returned; only once it is done."""
        if self._error is not None:
            raise self._error
        if not self.done:
            raise AssertionError("the task has not ended")
        return self._value  # type: ignore[return-value]  # None is a T where the function returns None

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self._value = self._work()
        except BaseException as exc:  # noqa: BLE001 - handed to whoever asks for the value
            self._error = exc
            if not isinstance(exc, ShellError | GuestFailed | MetallizeError):
                self._watch.broke(f"the thread `{self.name}`", exc)
        finally:
            self._done.set()
            self._watch.wake()
