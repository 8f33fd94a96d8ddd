"""Whoever gives tokens for a registry (Docker Registry v2 authentication), as a server on loopback."""

from __future__ import annotations

import http.server
import json
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID

from tests.registry import Login

IDENTITY = "what docker login was given instead of a password"
_SERVICE, _ISSUER = "registry of a test", "issuer of a test"


@dataclass
class Tokens:
    """Gives one to whoever has the login, for what they ask and may do."""

    login: Login
    folder: Path
    rights: set[str] = field(default_factory=lambda: {"pull", "push", "delete"})
    url: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Of each request: the scope, and what its Authorization says."""
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _ISSUER)])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.bundle = self.folder / "issuer.pem"
        self.bundle.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def configuration(self) -> dict[str, object]:
        """What the registry is told."""
        told = {
            "realm": f"{self.url}/token",
            "service": _SERVICE,
            "issuer": _ISSUER,
            "rootcertbundle": str(self.bundle),
        }
        return {"auth": {"token": told}}

    def token(self, scope: str) -> str:
        access = []
        if scope:
            kind, name, actions = scope.rsplit(":", 2)
            access = [{"type": kind, "name": name, "actions": sorted({*actions.split(",")} & self.rights)}]
        now = int(time.time())
        der = self._certificate.public_bytes(serialization.Encoding.DER)
        head = {"typ": "JWT", "alg": "ES256", "x5c": [b64encode(der).decode()]}
        claims = {
            "iss": _ISSUER, "aud": _SERVICE, "sub": self.login.user, "jti": str(now), "iat": now, "nbf": now - 60,
            "exp": now + 300, "access": access,
        }  # fmt: skip
        signed = b".".join(_encoded(json.dumps(part).encode()) for part in (head, claims))
        r, s = decode_dss_signature(self._key.sign(signed, ec.ECDSA(hashes.SHA256())))
        return (signed + b"." + _encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()


def _encoded(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        tokens: Tokens = self.server.tokens  # type: ignore[attr-defined]  # given to it below
        shown = self.headers.get("Authorization", "")
        [scope] = parse_qs(urlsplit(self.path).query).get("scope", [""])
        tokens.asked.append((scope, shown))
        self._answer("token", tokens.token(scope) if shown == tokens.login.header else None)

    def do_POST(self) -> None:
        """Docker's OAuth2 token endpoint (distribution, docs/spec/auth/oauth.md)."""
        tokens: Tokens = self.server.tokens  # type: ignore[attr-defined]
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode(), strict_parsing=True)
        [scope], [kind] = form.get("scope", [""]), form["grant_type"]
        tokens.asked.append((scope, f"{kind} by {form['client_id'][0]}"))
        good = kind == "refresh_token" and form["refresh_token"] == [IDENTITY] and form["service"] == [_SERVICE]
        self._answer("access_token", tokens.token(scope) if good else None)

    def _answer(self, name: str, token: str | None) -> None:
        good = token is not None
        body = json.dumps({name: token} if good else {}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def tokens(folder: Path, login: Login) -> Iterator[Tokens]:
    """The server, for as long as it is wanted."""
    made = Tokens(login=login, folder=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        server.tokens = made  # type: ignore[attr-defined]
        made.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
