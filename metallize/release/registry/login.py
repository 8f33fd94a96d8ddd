"""Who asks: the login that Docker's configuration has for a registry, and the tokens that are given for it.

docker.auth reads the configuration: DOCKER_CONFIG or ~/.docker/config.json, with its credential helpers.
"""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import requests
from docker import auth
from docker.errors import DockerException

from metallize.errors import HostError
from metallize.patience import REGISTRY_ANSWER, REGISTRY_CONNECT
from metallize.release.registry.address import Address
from metallize.release.registry.errors import refused, unreachable

_PARAMETER = re.compile(r'([A-Za-z_]+)="([^"]*)"')
_CLIENT = "metallize"
_ACTIONS = ("pull", "push", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What the configuration has."""

    user: str = ""
    password: str = ""
    identity_token: str = ""
    """Instead of a password: what tokens are given for (Docker's OAuth2 token endpoint)."""

    @property
    def basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def login_for(host: str) -> Login | None:
    """None where the configuration has no login for it. Raises HostError where it cannot be read."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of a helper that is not there, which is an error below
            found: Mapping[str, str] | None = auth.load_config().resolve_authconfig(host)
    except (DockerException, ValueError) as exc:
        raise HostError(
            f"Docker's configuration gives no login for {host}: {exc}", hint="see ~/.docker/config.json"
        ) from exc
    told = {name.lower(): value for name, value in (found or {}).items()}
    if not any(told.get(name) for name in ("username", "identitytoken")):
        return None
    return Login(
        user=told.get("username") or "",
        password=told.get("password") or "",
        identity_token=told.get("identitytoken") or "",
    )


class Proof(requests.auth.AuthBase):
    """What requests to the registry itself carry; those to anywhere else carry nothing, and nobody's .netrc is read."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._login: Login | None = None
        self._asked = False
        self._header: str | None = None
        self._actions: dict[str, set[str]] = {}
        """What tokens were asked for, by resource: a new one is for all of it."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._header is not None and f"{request.url}/".startswith(f"{self._address.origin}/"):
            request.headers["Authorization"] = self._header
        return request

    def renew(self, challenge: str) -> bool:
        """Find out what the registry wants to see, by its WWW-Authenticate; False where there is nothing to show."""
        if not self._asked:
            self._login, self._asked = login_for(self._address.host), True
        kind, _, rest = challenge.partition(" ")
        told = {name.lower(): value for name, value in _PARAMETER.findall(rest)}
        if kind.lower() == "bearer" and told.get("realm"):
            self._header = f"Bearer {self._token(told)}"
            return True
        if kind.lower() == "basic" and self._login is not None and self._login.user:
            before, self._header = self._header, self._login.basic
            return self._header != before
        return False

    def _token(self, told: Mapping[str, str]) -> str:
        """As the Docker Registry v2 authentication specification has it."""
        realm = told["realm"]
        if self._address.scheme == "https" and not realm.startswith("https://"):
            raise HostError(
                f"{self._address.place()}: the registry sends to {realm} for a token, which is not https",
                hint="no password is sent there: tell whoever runs the registry",
            )
        asked = {"service": told.get("service", ""), "scope": self._scope(told.get("scope", ""))}
        asked = {name: value for name, value in asked.items() if value}
        waits = (REGISTRY_CONNECT, REGISTRY_ANSWER)
        login = self._login
        try:
            if login is not None and login.identity_token:
                form = {**asked, "grant_type": "refresh_token", "refresh_token": login.identity_token}
                answer = requests.post(
                    realm, data={**form, "client_id": _CLIENT}, timeout=waits, auth=_as_it_is, allow_redirects=False
                )
            else:
                headers = {"Authorization": login.basic} if login is not None else {}
                answer = requests.get(
                    realm, params=asked, headers=headers, timeout=waits, auth=_as_it_is, allow_redirects=False
                )
        except requests.RequestException as exc:
            raise unreachable(realm, exc) from exc
        if answer.status_code != HTTPStatus.OK:
            raise refused(realm, self._address.host, answer)
        try:
            content = answer.json()
            token = content.get("token") or content["access_token"]
        except (ValueError, LookupError, AttributeError) as exc:
            raise HostError(f"{realm} gives no token", hint="tell whoever runs the registry") from exc
        return str(token)

    def _scope(self, scope: str) -> str:
        """With what was asked for earlier: `repository:NAME:pull,push`."""
        resource, _, actions = scope.rpartition(":")
        if not resource:
            return scope
        known = self._actions.setdefault(resource, set())
        known.update(actions.split(","))
        first = [each for each in _ACTIONS if each in known]
        return f"{resource}:{','.join([*first, *sorted(known - set(first))])}"


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """So that requests does not look into .netrc."""
    return request
