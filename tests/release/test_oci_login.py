"""Who asks a registry: the login of Docker's configuration, tokens, and that neither goes anywhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from metallize.errors import HostError
from metallize.events import Silent
from metallize.release import curating
from metallize.release.destinations import destination_at
from tests import registry
from tests.registry import Login, Registry
from tests.release.stores import Answer, Between, Forward, Request, Rule, between
from tests.release.tokens import IDENTITY, Tokens, tokens
from tests.unit.release.wares import NOW, released, ware

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(registry.is_nowhere(), reason="this host's distribution has no docker-registry"),
    pytest.mark.usefixtures("quick"),
]
LOGIN = Login()


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Docker's configuration, with nothing in it yet."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    (tmp_path / "docker").mkdir()
    return tmp_path / "docker" / "config.json"


def log_in(configured: Path, host: str, login: Login = LOGIN) -> None:
    configured.write_text(json.dumps({"auths": {host: {"auth": login.encoded}}}))


@contextmanager
def closed(folder: Path) -> Iterator[tuple[Registry, Tokens]]:
    with (
        tokens(folder, LOGIN) as issuer,
        registry.running(folder / "registry", more=issuer.configuration) as made,
    ):
        yield made, issuer


def test_the_login_is_that_of_docker(tmp_path: Path, configured: Path) -> None:
    with registry.running(tmp_path / "registry", login=LOGIN) as made:
        destination, image = destination_at(f"oci://{made.host}/own/web"), ware(tmp_path / "one")
        for login in (None, Login(password="another")):
            if login is not None:
                log_in(configured, made.host, login)
            with pytest.raises(
                HostError, match=rf"oci://{made.host}/own/web.* was refused \(401: UNAUTHORIZED"
            ) as caught:
                released(destination, image)
            assert f"docker login {made.host}" in str(caught.value.hint)
        log_in(configured, made.host)
        assert released(destination, image).new


def test_a_credential_helper_is_asked(tmp_path: Path, configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "bin" / "docker-credential-ours"
    helper.parent.mkdir()
    secret = json.dumps({"Username": LOGIN.user, "Secret": LOGIN.password})
    helper.write_text(f"#!/bin/sh\ncat >/dev/null\necho '{secret}'\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(helper.parent), prepend=":")
    with registry.running(tmp_path / "registry", login=LOGIN) as made:
        configured.write_text(json.dumps({"credHelpers": {made.host: "ours"}}))
        assert released(destination_at(f"oci://{made.host}/own/web"), ware(tmp_path / "one")).new


def test_a_configuration_that_cannot_be_read(tmp_path: Path, configured: Path) -> None:
    with registry.running(tmp_path / "registry", login=LOGIN) as made:
        configured.write_text(json.dumps({"credHelpers": {made.host: "no-such-helper"}}))
        with pytest.raises(HostError, match="Docker's configuration gives no login for"):
            destination_at(f"oci://{made.host}/own/web").channels()


def test_a_token_is_fetched_for_what_is_done(tmp_path: Path, configured: Path) -> None:
    with closed(tmp_path) as (made, issuer):
        log_in(configured, made.host)
        place = f"oci://{made.host}/own/web"
        assert destination_at(place).channels() == ()
        assert [scope for scope, _ in issuer.asked] == ["repository:own/web:pull"]
        assert released(destination_at(place), ware(tmp_path / "one")).new
        curating.retract(destination_at(place), "20261130.1", Silent(), curating.Terms(now=NOW), why="no")
        assert {shown for _, shown in issuer.asked} == {LOGIN.header}
        assert "repository:own/web:pull,push,delete" in {scope for scope, _ in issuer.asked}
        assert len(issuer.asked) < 30, "a token is used as long as it counts"


def test_a_token_is_fetched_by_an_identity_token(tmp_path: Path, configured: Path) -> None:
    """As `docker login` leaves one where a registry gives it instead of keeping the password."""
    with closed(tmp_path) as (made, issuer):
        for identity, is_right in (("another", False), (IDENTITY, True)):
            told = {"username": "<token>", "identitytoken": identity}
            configured.write_text(json.dumps({"auths": {made.host: {**told, "auth": Login(password="").encoded}}}))
            destination = destination_at(f"oci://{made.host}/own/web")
            if is_right:
                assert released(destination, ware(tmp_path / "one")).new
            else:
                with pytest.raises(HostError, match=rf"{issuer.url}/token: POST was refused \(401"):
                    destination.channels()
        assert {shown for _, shown in issuer.asked} == {"refresh_token by metallize"}


def test_a_token_that_gives_less_than_is_needed(tmp_path: Path, configured: Path) -> None:
    with closed(tmp_path) as (made, issuer):
        log_in(configured, made.host)
        issuer.rights = {"pull"}
        with pytest.raises(HostError, match=r"POST was refused \(401: UNAUTHORIZED") as caught:
            released(destination_at(f"oci://{made.host}/own/web"), ware(tmp_path / "one"))
        assert f"docker login {made.host}" in str(caught.value.hint)


def test_whoever_gives_tokens_does_not_know_the_login(tmp_path: Path, configured: Path) -> None:
    with closed(tmp_path) as (made, issuer):
        log_in(configured, made.host, Login(password="another"))
        with pytest.raises(HostError, match=rf"{issuer.url}/token: GET was refused \(401"):
            destination_at(f"oci://{made.host}/own/web").channels()


def test_what_leads_elsewhere_is_followed_without_the_login(tmp_path: Path, configured: Path) -> None:
    """As registries do that keep blobs with a cloud: the other place is shown nothing."""
    with (
        registry.running(tmp_path / "registry", login=LOGIN) as made,
        between(f"http://{made.host}") as front,
        between(f"http://{made.host}") as elsewhere,
    ):
        front.rule = leading_to(elsewhere)
        elsewhere.rule = lambda request, forward: forward(
            Request(
                method=request.method, path=request.path, headers={**request.headers, "Authorization": LOGIN.header},
                body=b"",
            )
        )  # fmt: skip
        host = front.url.removeprefix("http://")
        log_in(configured, host)
        released(destination_at(f"oci://{host}/own/web"), ware(tmp_path / "one"))
        assert any("Authorization" in each.headers for each in front.seen)
        assert len(elsewhere.seen) > 5
        assert not any("Authorization" in each.headers for each in elsewhere.seen)


def leading_to(elsewhere: Between) -> Rule:
    def rule(request: Request, forward: Forward) -> Answer:
        if request.method == "GET" and "/blobs/sha256:" in request.path:
            return Answer(status=307, headers={"Location": f"{elsewhere.url}{request.path}"})
        return forward(request)

    return rule


def test_a_registry_that_leads_around(tmp_path: Path) -> None:
    with registry.running(tmp_path / "registry") as made, between(f"http://{made.host}") as front:
        front.rule = lambda request, _: Answer(status=307, headers={"Location": request.path})
        with pytest.raises(HostError, match="leads from one address to the next"):
            destination_at(f"oci://{front.url.removeprefix('http://')}/own/web").channels()
