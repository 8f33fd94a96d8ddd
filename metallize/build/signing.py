"""Who signs what the firmware starts: a certificate that everybody may see, and a key that the last step alone sees.

The certificate is part of what is built, so that another one makes another image. Of the key only the place is known
here, and what it takes to say beforehand that it fits: no key of a step, no manifest and no output has it in it.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import load_pem_x509_certificate

from metallize.errors import HostError, Problem, ProfileError, UsageError
from metallize.files.certificates import certificates_in
from metallize.files.token_uri import names_token, token_key
from metallize.host.token import Pin, Token
from metallize.model.loaded import Profile

LEAST_BITS = 2048
"""Of an RSA key that firmware takes (UEFI Specification, 32.4.1: EFI_CERT_X509_GUID with RSA-2048 and SHA-256)."""
EXPONENT = 65537
"""Of a key on a token: the image's signature is made with another in its place (generators/common, stand_in.py)."""
_PROBE = b"metallize asks whether this key is there; this is no program"
_MAKE = "openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj '/CN=my images' -keyout db.key -out db.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """A key's place, which may be a token, and its certificate in PEM."""

    key: Path | Token
    certificate: str
    enrolls: bool = False
    """Whether the image brings the certificate to firmware that holds none."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate's DER, in hexadecimal digits: what openssl x509 -fingerprint -sha256 shows."""
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(self.certificate)).hexdigest()

    def told(self) -> dict[str, object]:
        """As the manifest has it."""
        return {"certificate_sha256": self.fingerprint, **({"enrolls": True} if self.enrolls else {})}


def signing_of(profile: Profile) -> Signing | None:
    """What the profile says of it, its certificate read; raises ProfileError for one that cannot be."""
    asked = profile.output.secure_boot
    if asked is None:
        return None
    try:
        certificate, *more = certificates_in(Path(asked.certificate).read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise _wrong(
            profile, "certificate", f"{asked.certificate} cannot be read: {why}", f"make one: {_MAKE}"
        ) from exc
    if more:
        message = f"{asked.certificate} has {len(more) + 1} certificates, and the key has one"
        raise _wrong(profile, "certificate", message, "leave in it the key's own alone")
    key = _token(profile, asked.key) if names_token(asked.key) else Path(asked.key)
    return Signing(key=key, certificate=certificate, enrolls=asked.enroll)


def _token(profile: Profile, uri: str) -> Token:
    try:
        found = token_key(uri)
    except UsageError as exc:
        raise _wrong(profile, "key", exc.message, exc.hint or "") from exc
    if found.token is None:
        raise _wrong(profile, "key", f"{uri} does not say which token", "add its label: pkcs11:token=LABEL;id=...")
    return Token(key=found, pin=Pin(key=found))


def require_key(profile: Profile, signing: Signing) -> None:
    """Raises ProfileError where the key cannot be read or used, or is not the certificate's.

    Of a key on a token, which signs once for that, also HostError where it cannot be had.
    """
    if isinstance(signing.key, Token):
        _require_signing(profile, signing, signing.key)
        return
    problem, hint = _unfit(signing, signing.key)
    if problem:
        raise _wrong(profile, "key", f"{signing.key} {problem}", hint)


def _require_signing(profile: Profile, signing: Signing, token: Token) -> None:
    certified = load_pem_x509_certificate(signing.certificate.encode()).public_key()
    problem = _unfit_half(certified)
    if isinstance(certified, RSAPublicKey) and certified.public_numbers().e != EXPONENT:
        problem = f"is an RSA key whose exponent is not {EXPONENT}"
    if problem or not isinstance(certified, RSAPublicKey):
        raise _wrong(profile, "certificate", f"its key {problem}", "make another on the token: docs/targets.md")
    try:
        signature = token.signature_of(_PROBE)
        certified.verify(signature, _PROBE, PKCS1v15(), SHA256())
    except InvalidSignature as exc:
        message = f"{token.key.uri} is not the key of the certificate"
        hint = f"see id and label of both: pkcs11-tool --module {token.key.module} --list-objects"
        raise _wrong(profile, "key", message, hint) from exc
    except (HostError, UsageError) as exc:
        place = profile.location("output", "secure_boot", "key")
        raise type(exc)(f"{place}: `secure_boot.key`: {exc.message}", hint=exc.hint) from exc


def _unfit_half(key: object) -> str:
    """What firmware does not take of a key, be it either half."""
    if not isinstance(key, RSAPrivateKey | RSAPublicKey):
        return f"is no RSA key, and firmware takes RSA of {LEAST_BITS} bits or more"
    if key.key_size < LEAST_BITS:
        return f"is an RSA key of {key.key_size} bits, and firmware takes RSA of {LEAST_BITS} bits or more"
    return ""


def _unfit(signing: Signing, file: Path) -> tuple[str, str]:
    """What is wrong with the key, and what mends it; no message says what is in it."""
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except OSError as exc:
        return f"cannot be read: {exc.strerror}", "name it by --set output.secure_boot.key=FILE where it is elsewhere"
    except TypeError:
        return "has a passphrase, and nobody is asked for one", "openssl rsa -in KEY -out PLAIN, where nobody reads it"
    except (ValueError, UnsupportedAlgorithm):
        return "is no private key in PEM", f"make one, with its certificate: {_MAKE}"
    if problem := _unfit_half(key):
        return problem, f"make one: {_MAKE}"
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    certified = load_pem_x509_certificate(signing.certificate.encode()).public_key()
    if certified.public_bytes(*form) != key.public_key().public_bytes(*form):
        return (
            "is not the key of the certificate",
            "compare: openssl rsa -in KEY -pubout; openssl x509 -in CERT -pubkey",
        )
    return "", ""


def _wrong(profile: Profile, key: str, message: str, hint: str) -> ProfileError:
    place = profile.location("output", "secure_boot", key)
    return ProfileError([Problem(location=place, message=f"`secure_boot.{key}`: {message}", hint=hint)])
