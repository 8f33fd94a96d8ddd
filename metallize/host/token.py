"""A token that signs for us: its PIN, and what is asked of it by pkcs11-tool(1) of OpenSC. Its key never leaves it."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metallize.command import Finished, run
from metallize.errors import HostError, UsageError
from metallize.files.token_uri import PIN, TokenKey
from metallize.files.vanishing import scratch_folder

TOOL = "pkcs11-tool"
_INSTALL = "install OpenSC, which has it: apt-get install opensc"
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""What a DigestInfo of SHA-256 begins with (RFC 8017, 9.2, note 1)."""
_TAIL_CHARACTERS = 400


@dataclass(slots=True, kw_only=True)
class Pin:
    """The PIN: read or asked for once, because a token that is told a wrong one some times locks itself."""

    key: TokenKey
    known: str | None = field(default=None, repr=False)

    def __call__(self, _name: str = "") -> str:
        if self.known is None:
            self.known = self._found()
        return self.known

    def _found(self) -> str:
        source, uri = self.key.pin_source, self.key.uri
        if source is not None:
            try:
                return source.read_text().strip("\r\n")
            except (OSError, UnicodeDecodeError) as exc:
                raise UsageError(
                    f"{source} holds no PIN that can be read: {exc}", hint=f"see pin-source, or leave it out: {PIN}"
                ) from exc
        if PIN in os.environ:
            return os.environ[PIN]
        if not sys.stdin.isatty():
            raise UsageError(
                f"{uri} wants a PIN, and nobody is there to be asked",
                hint=f"pin-source=FILE in the URI, or {PIN} in the environment",
            )
        return getpass.getpass(f"PIN of {uri}: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A key on a token, and what opens it."""

    key: TokenKey
    pin: Pin

    def sign(self, argv: Sequence[str]) -> None:
        """Run a command that signs (`signing_words`), the PIN in its environment. Raises HostError where it fails."""
        done = self._run(argv)
        if done.status:
            raise HostError(f"{self.key.uri} does not sign: {_last(done)}", hint=_LISTS.format(self.key.module))

    def signature_of(self, content: bytes) -> bytes:
        """The signature of a text, by RSA with PKCS #1 v1.5 and SHA-256.

        What is amiss is told in the order of its causes. Raises HostError where the tool, the token or the key is
        missing, the PIN is wrong or the key does not sign; UsageError where there is no PIN.
        """
        self._require_token()
        self._require_key()
        with scratch_folder("metallize-token-") as folder:
            digest, signature = Path(folder, "digest"), Path(folder, "signature")
            digest.write_bytes(_SHA256 + hashlib.sha256(content).digest())
            self.sign([*signing_words(self.key), *("--input-file", str(digest), "--output-file", str(signature))])
            return signature.read_bytes()

    def _require_token(self) -> None:
        done = run([TOOL, "--module", self.key.module, "--list-token-slots"], check=False, hint=_INSTALL)
        labels = re.findall(r"^ *token label *: (.*?) *$", done.stdout, re.MULTILINE)
        if done.status == 0 and labels.count(self.key.token) == 1:
            return
        found = f"there are {', '.join(labels)}" if labels else _last(done) or "there is none at all"
        many = "more than one has this label" if self.key.token in labels else found
        raise HostError(
            f"{self.key.uri}: the token {self.key.token} is not there to be asked: {many}",
            hint=f"plug it in, and see what its library finds: {TOOL} --module {self.key.module} --list-token-slots",
        )

    def _require_key(self) -> None:
        done = self._run([*_opened(self.key), "--list-objects", "--type", "privkey"])
        if done.status:
            raise HostError(
                f"{self.key.uri}: the token lets nobody in by this PIN: {_last(done)}",
                hint=f"set {PIN} to the token's PIN, or see pin-source; after some wrong ones a token locks itself",
            )
        number = self.key.id.hex()
        if number not in re.findall(
            r"^ *ID: *([0-9a-f]+)", done.stdout, re.MULTILINE
        ):  # some list all whatever --id is
            raise HostError(
                f"{self.key.uri}: the token has no private key whose id is {number}",
                hint=_LISTS.format(self.key.module),
            )

    def _run(self, argv: Sequence[str]) -> Finished:
        return run(argv, check=False, env={PIN: self.pin()}, hint=_INSTALL)


_LISTS = f"see which keys it has: {TOOL} --module {{}} --login --list-objects"


def _opened(key: TokenKey) -> tuple[str, ...]:
    """The PIN is in the environment: everybody on the host can read a command line."""
    return (
        TOOL, "--module", str(key.module),
        *(("--token-label", key.token) if key.token is not None else ()),
        "--login", "--pin", f"env:{PIN}",
        "--id", key.id.hex(),
    )  # fmt: skip


def signing_words(key: TokenKey) -> tuple[str, ...]:
    """The command that signs a DigestInfo, but for where it is and where the signature goes."""
    return (*_opened(key), "--sign", "--mechanism", "RSA-PKCS")


def _last(done: Finished) -> str:
    """The end of what the tool said, in one line."""
    lines = [line.strip().removeprefix("error: ") for line in done.stderr.splitlines()]
    lines = [line for line in lines if line not in ("", "Aborting.")]
    return "; ".join(lines)[-_TAIL_CHARACTERS:]
