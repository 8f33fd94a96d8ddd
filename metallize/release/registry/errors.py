"""What a registry answers, as an error that names the place, the cause and the next step."""

from __future__ import annotations

import json
import ssl
from http import HTTPStatus

import requests

from metallize.errors import HostError

AGAIN = "see the connection and the registry, then run it again: what it has by now is used"
_ROOM = "make room in the registry, or raise the quota (its log tells more); what it has by now is used"
_MOST_CHARACTERS = 300
"""Of what a registry says of an error."""
_HINTS = {
    HTTPStatus.UNAUTHORIZED: "log in to it (docker login {host}): the login is that of Docker's configuration",
    HTTPStatus.FORBIDDEN: "the account needs the rights to pull, push and delete there: see docker login {host}",
    HTTPStatus.NOT_FOUND: "is the address right? some registries want a repository to be made first",
    HTTPStatus.METHOD_NOT_ALLOWED: "have the registry allow deletion (REGISTRY_STORAGE_DELETE_ENABLED=true)",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "a proxy before the registry takes no bodies of 16 MiB: raise its limit",
    HTTPStatus.TOO_MANY_REQUESTS: "the registry is busy: run it again later",
    HTTPStatus.INTERNAL_SERVER_ERROR: f"see the registry's log; where its disk is full: {_ROOM}",
    HTTPStatus.INSUFFICIENT_STORAGE: _ROOM,
}
_HTTPS_ALONE = "Client sent an HTTP request to an HTTPS server"
"""What Go's net/http answers, and with it most registries."""
_CODES = {
    _HTTPS_ALONE: "it speaks TLS: name it oci+https://...",
    "DIGEST_INVALID": "what has arrived is not what was sent: see the connection, then run it again",
    "MANIFEST_BLOB_UNKNOWN": "the registry has lost a file: was it cleaned meanwhile? run it again",
}
"""By the registry's own word."""
_AUTHORITY = "its certificate's authority is named by REQUESTS_CA_BUNDLE, a file of PEM certificates"
_PLAIN = "is it one that speaks plain HTTP? oci+http://... says so; whoever is on that line reads the password"


class RefusedError(HostError):
    """A registry answered otherwise than was asked for."""

    def __init__(self, message: str, *, hint: str, status: int, code: str) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        """The registry's own word, as in DIGEST_INVALID; empty where it has none."""


class UnreachableError(HostError):
    """A line that broke, or that there was none."""


def refused(place: str, host: str, answer: requests.Response) -> RefusedError:
    """The error of an answer, whose body is read and closed."""
    method, status = answer.request.method, answer.status_code
    code, words = _said(answer)
    hint = _CODES.get(code) or next((hint for each, hint in _HINTS.items() if each == status), None)
    if hint is None:
        hint = AGAIN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "see the registry's log"
    return RefusedError(
        f"{place}: {method} was refused ({status}{f': {words}' if words else ''})",
        hint=hint.format(host=host),
        status=status,
        code=code,
    )


def unreachable(place: str, error: Exception) -> UnreachableError:
    """The error of a line that broke."""
    cause = _innermost(error)
    hint = _about_tls(cause) or AGAIN
    return UnreachableError(f"{place}: the registry cannot be reached, or broke off: {_why(cause)}", hint=hint)


def is_final(error: Exception) -> bool:
    """Whether a line that broke breaks in the same way whenever it is tried."""
    return bool(_about_tls(_innermost(error)))


def _about_tls(cause: BaseException) -> str:
    """What to do where there is no TLS that both accept; empty where that is not what broke."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _AUTHORITY
    return _PLAIN if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER" else ""


def _said(answer: requests.Response) -> tuple[str, str]:
    """Its word and its words (OCI Distribution Specification 1.1, Error codes)."""
    try:
        body = next(answer.iter_content(1 << 16), b"")
    except requests.RequestException:
        return "", ""
    finally:
        answer.close()
    try:
        first = json.loads(body)["errors"][0]
        code, message, detail = (str(first.get(name) or "") for name in ("code", "message", "detail"))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        if body.startswith(_HTTPS_ALONE.encode()):
            return _HTTPS_ALONE, _HTTPS_ALONE
        return "", (answer.reason or "")[:_MOST_CHARACTERS]
    return code, ": ".join(each for each in (code, message, detail) if each)[:_MOST_CHARACTERS]


def _innermost(error: BaseException) -> BaseException:
    """The cause of all: what lies around it are the libraries' words to their programmer."""
    while True:
        inner = error.__cause__ or error.__context__ or getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _why(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
    return " ".join(text.split())[:_MOST_CHARACTERS]
