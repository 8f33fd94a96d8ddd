"""A digest to whatever people read, through apprise (extra `notify`): mail, chat, a webhook."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

from metallize.errors import HostError, UsageError
from metallize.night.telling.digest import Digest

VARIABLE = "METALLIZE_NOTIFY"
"""Addresses as apprise has them, separated by blanks; they hold passwords, so that no log has them."""


def addresses_of(text: str) -> tuple[str, ...]:
    """The addresses of the variable, each once."""
    return tuple(dict.fromkeys(text.split()))


class Apprise:
    """Delivers to some addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        """Raises HostError where apprise is not installed, UsageError for what it takes for no address."""
        try:
            import apprise  # noqa: PLC0415 - an extra, and only who tells needs it
        except ImportError as exc:
            hint = "pip install 'metallize[notify]'"
            raise HostError(f"{VARIABLE} is set, and apprise is not installed", hint=hint) from exc
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its messages have the addresses in them
        self._all = []
        for number, address in enumerate(addresses, start=1):
            one = apprise.Apprise()
            if not one.add(address):
                kind = _kind(address)
                raise UsageError(
                    f"{VARIABLE}: address {number} ({kind}) is none that apprise knows", hint="mailto://..."
                )
            self._all.append((number, _kind(address), one))
        self._text = apprise.NotifyFormat.TEXT

    def __call__(self, digest: Digest) -> str:
        """Send it to every address; which could not be reached, empty where all could."""
        failed = []
        for number, kind, one in self._all:
            why = kind
            try:
                if one.notify(title=digest.title, body=digest.body, body_format=self._text):
                    continue
            except Exception as exc:  # noqa: BLE001 - a service's own code may raise anything, and no night ends of it
                why = f"{kind}, {type(exc).__name__}"
            failed.append(f"address {number} ({why})")
        if failed and len(failed) < len(self._all):
            return ""  # somebody was told; to tell all again is worse than to miss one
        return f"{', '.join(failed)} took nothing" if failed else ""


def _kind(address: str) -> str:
    """What may be said of an address: its scheme."""
    found = re.match(r"[A-Za-z0-9+.-]{1,20}(?=://)", address)
    return found[0] if found else "no scheme"
