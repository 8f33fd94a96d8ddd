"""Lines of text without what changes from boot to boot, so that two that mean the same are the same.

Times, addresses, process numbers, UUIDs, digests, counters and quantities go; names of devices and units stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST = 300
"""So many different warnings of one boot are kept: a flood is one, and its lines are alike."""
LONGEST = 240
_STAMP = re.compile(r"^(?:<\d{1,3}>)?\s*(?:\[\s*\d+\.\d+\](?:\[\s*[CT]\d+\])?\s*)+")
"""The kernel's time, and its caller's number (printk.time, CONFIG_PRINTK_CALLER)."""
_REPLACED = (
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE), "UUID"),
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.IGNORECASE), "MAC"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?\b"), "TIME"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), "ADDRESS"),
    (re.compile(r"\b0x[0-9a-f]+\b", re.IGNORECASE), "HEX"),
    (re.compile(r"\b[0-9a-f]{12,}\b", re.IGNORECASE), "HEX"),
    (re.compile(r"\[\d+\]"), "[N]"),
    (re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?=(?:[a-zA-Z%]{0,4})(?![\w.]))"), "N"),
)
"""In this order: what is made of several numbers before single ones. A number within a word is part of a name: sda1."""
_MEANS_TROUBLE = re.compile(
    r"\b(?:warn(?:ing)?s?|errors?|fail(?:s|ed|ure|ures|ing)?|bugs?|oops|corrupt(?:ed|ion)?|deprecated|unable|cannot|"
    r"can't|could not|couldn't|invalid|refused|denied|timed out|timeout|tainted|taints|unsupported|not supported|"
    r"lockup|stall(?:s|ed)?|segfault|degraded|missing|mismatch|broken|unexpected|suspicious|hung|overheat(?:ed|ing)?)\b",
    re.IGNORECASE,
)
_MEANS_NONE = re.compile(
    r"\b(?:no|0|without) (?:warnings?|errors?|failures?)\b|errors=remount-ro|onerror|\berror(?:s)?[ =:]*0\b",
    re.IGNORECASE,
)
_OF_THE_HOST = re.compile(
    r"\btsc: (?:Fast TSC calibration failed|Unable to calibrate against PIT)|\bTSC calibration failed"
    r"|\bPIT calibration (?:failed|deviates)|\bAPIC calibration not consistent with PM-Timer"
    r"|\b(?:hrtimer|perf): interrupt took (?:too long\b)?|\bcalibrate_delay_direct\(\) failed to get a good estimate"
)
"""What a kernel finds of the clocks of a guest whose host was busy meanwhile: it comes and goes with no change at all
(arch/x86/kernel/tsc.c and apic.c, init/calibrate.c and kernel/time/hrtimer.c of Linux)."""


def normalised(line: str) -> str:
    """A line as it would be in any other boot in which the same happened."""
    text = _STAMP.sub("", line.strip())
    for pattern, name in _REPLACED:
        text = pattern.sub(name, text)
    return " ".join(text.split())[:LONGEST]


def warnings_in(lines: Iterable[str]) -> tuple[str, ...]:
    """What some lines warn of, each once, sorted; what says only how busy the host was is no warning."""
    found: set[str] = set()
    for line in lines:
        if _MEANS_TROUBLE.search(line) and not (_MEANS_NONE.search(line) or _OF_THE_HOST.search(line)):
            found.add(normalised(line))
            if len(found) >= MOST:
                break
    return tuple(sorted(found - {""}))


def signature_of(rule: str, reason: str) -> str:
    """What failures that are alike have in common: what saw it, and why, as it would be in any other boot."""
    return f"{rule}: {normalised(reason)}" if reason else rule
