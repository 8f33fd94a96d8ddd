"""What may become of a guest's answers on their way, and a clock that goes on only where somebody waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What becomes of the answers to one question, from the answer with that number in the verification on."""

    at: int
    change: Callable[[Answer], Answer | None]
    """None: it never comes."""
    delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Something that the guest says to one question."""

    what: str
    text: str


@dataclass
class Line:
    """The way from the guest to whoever asked: counts answers, and changes those that a fault is for."""

    clock: Clock
    faults: Sequence[Fault] = ()
    asked: int = 0
    begun: dict[int, str] = field(default_factory=dict)
    """Which question each fault is for, once its time has come."""
    said: list[str] = field(default_factory=list)
    hit: set[str] = field(default_factory=set)
    """Which answers did not come as they were given."""

    def take(self, what: str, text: str) -> str | None:
        number, self.asked = self.asked, self.asked + 1
        self.said.append(what)
        answer: Answer | None = Answer(what=what, text=text)
        for index, fault in enumerate(self.faults):
            if fault.at == number:
                self.begun[index] = what
                self.clock.now += fault.delay
            if self.begun.get(index) == what and answer is not None:
                answer = fault.change(answer)
        if answer is None or answer.text != text:
            self.hit.add(what)
        return None if answer is None else answer.text


@dataclass
class Clock:
    """Time that passes only where somebody waits."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now
