"""Verification: boot an image on a machine, look at it from every side, and report what holds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from metallize.verify.request import VerifyRequest

if TYPE_CHECKING:
    from metallize.verify.machine import verify_machine
    from metallize.verify.prepared import PreparedBoot, prepared_boot

__all__ = ["PreparedBoot", "VerifyRequest", "prepared_boot", "verify_machine"]

_LATER = {"verify_machine": "machine", "PreparedBoot": "prepared", "prepared_boot": "prepared"}


def __getattr__(name: str) -> object:
    """What boots a machine is imported when it is asked for: a build that finds nothing changed has no use for it."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
