"""Where the Docker engine is, and what it means when it does not answer or does not do as it is told."""

from __future__ import annotations

import os
import socket
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.context import ContextAPI
from docker.errors import APIError, DockerException

from metallize.errors import EngineError

FAILURES = (DockerException, requests.exceptions.RequestException, urllib3.exceptions.HTTPError)
"""What the SDK raises: its own errors, and those of the libraries below it."""

_DEFAULT = "unix:///var/run/docker.sock"
_TIMEOUT_SECONDS = 60


def connect() -> tuple[docker.DockerClient, str]:
    """A client of the engine that answers, and its address, for the command line to use the same one.

    Raises EngineError where none answers, or where it cannot see this host's files.
    """
    host = address()
    url = urlsplit(host)
    if url.scheme in ("tcp", "ssh", "http", "https") and url.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise not_here(host)
    try:
        if url.scheme == "unix":
            _knock(url.path)
        client = docker.from_env(timeout=_TIMEOUT_SECONDS, environment={**os.environ, "DOCKER_HOST": host})
        client.ping()
    except (*FAILURES, OSError) as exc:
        raise _silent(host, exc) from exc
    return client, host


def _knock(path: str) -> None:
    """See that somebody listens: the SDK tells less of it, and leaves its socket open."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_TIMEOUT_SECONDS)
        probe.connect(path)


def address() -> str:
    """DOCKER_HOST, else the docker command's context, else the usual socket."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT") or None)
    except (DockerException, OSError, ValueError):
        return _DEFAULT
    return str(getattr(context, "Host", None) or _DEFAULT)


def words(exc: Exception) -> str:
    """What the engine says, without the SDK's wrapping."""
    return str(getattr(exc, "explanation", None) or exc)


def failed(doing: str, exc: Exception) -> EngineError:
    """The error for a call that the engine refused, or never answered."""
    if not isinstance(exc, APIError):
        return _silent(address(), exc)
    full = "no space left" in words(exc)
    hint = "the disk that holds Docker's data is full: `docker system df`, then prune" if full else None
    return EngineError(f"Docker refused while {doing}: {words(exc)}", hint=hint)


def not_here(host: str) -> EngineError:
    """The error for an engine that runs where this host's files are not."""
    return EngineError(
        f"the Docker engine at {host} cannot see this host's files, so the image could not come back from it",
        hint="run metallize on the engine's own host, or point DOCKER_HOST at an engine on this one",
    )


def _silent(host: str, exc: Exception) -> EngineError:
    text = str(exc)
    if "Permission denied" in text:
        return EngineError(
            f"Docker's socket {host} refuses this user",
            hint="add yourself to the group: sudo usermod -aG docker $USER, then log in again; or run as root",
        )
    return EngineError(
        f"no Docker engine answers at {host}: {text[:300]}",
        hint="start it: sudo systemctl start docker, or without systemd: sudo dockerd & ; scripts/quickstart does both",
    )
