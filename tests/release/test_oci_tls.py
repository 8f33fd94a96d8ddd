"""A registry that speaks TLS, with the certificate of an authority of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from metallize.errors import HostError
from metallize.release.destinations import destination_at
from tests import registry
from tests.registry import Registry
from tests.unit.release.wares import released, ware

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(registry.is_nowhere(), reason="this host's distribution has no docker-registry"),
    pytest.mark.usefixtures("quick"),
]
DAY = timedelta(days=1)


def certificate(folder: Path, *, until: datetime) -> tuple[Path, Path]:
    """One for 127.0.0.1 that has signed itself, and its key."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry of a test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - 30 * DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    no_password = serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, no_password))
    return paths


@pytest.fixture
def good(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path / "good", until=datetime.now(UTC) + DAY)


@pytest.fixture
def secured(tmp_path: Path, good: tuple[Path, Path]) -> Iterator[Registry]:
    with registry.running(tmp_path / "registry", tls=good) as made:
        yield made


def test_a_release_goes_to_a_registry_whose_authority_is_named(
    secured: Registry, good: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination, image = destination_at(f"oci+https://{secured.host}/own/web"), ware(tmp_path / "one")
    with pytest.raises(HostError) as caught:
        released(destination, image)
    assert "certificate" in str(caught.value).lower()
    assert "REQUESTS_CA_BUNDLE" in str(caught.value.hint)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(good[0]))
    assert released(destination, image).new
    assert not released(destination, image).new


def test_a_certificate_that_has_expired_or_is_anothers_is_none(
    secured: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = certificate(tmp_path / "others", until=datetime.now(UTC) + DAY)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(others[0]))
    with pytest.raises(HostError, match="certificate verify failed"):
        released(destination_at(f"oci+https://{secured.host}/own/web"), ware(tmp_path / "one"))
    expired = certificate(tmp_path / "expired", until=datetime.now(UTC) - DAY)
    with registry.running(tmp_path / "late", tls=expired) as late:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(expired[0]))
        with pytest.raises(HostError, match="certificate has expired"):
            released(destination_at(f"oci+https://{late.host}/own/web"), ware(tmp_path / "two"))


def test_tls_where_plain_http_is_spoken_is_told_as_that(docker_registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        released(destination_at(f"oci+https://{docker_registry.host}/own/web"), ware(tmp_path / "one"))
    assert "oci+http://" in str(caught.value.hint)


def test_plain_http_where_tls_is_spoken_is_told_as_that(secured: Registry, tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        released(destination_at(f"oci://{secured.host}/own/web"), ware(tmp_path / "one"))
    assert "oci+https://" in f"{caught.value} {caught.value.hint}"
