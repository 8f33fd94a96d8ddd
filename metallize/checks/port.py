"""port: whether something listens on a TCP or UDP port, read from /proc/net, so that no tool is needed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_existing
from metallize.checks.decoding import Expected, ExpectedBool
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.model.kind import ResourceOptions

_MAX_PORT = 65535
_DONE = "metallize-port-done"


class PortOptions(ResourceOptions):
    """The attributes of one port; its key is tcp:22, tcp6:22, udp:53, udp6:53 or 22 for tcp."""

    port: Annotated[str | None, Field(description="the port, where the key is only a label")] = None
    listening: Annotated[ExpectedBool, Field(description="something is bound to it")]
    ip: Annotated[Expected | None, Field(description="the addresses that it is bound to")] = None


def _split(resource: str, options: PortOptions) -> tuple[str, int] | None:
    match = re.fullmatch(r"(?:(tcp6?|udp6?):)?(\d{1,5})", options.port or resource, re.ASCII)
    if match is None or not 1 <= int(match[2]) <= _MAX_PORT:
        return None
    return match[1] or "tcp", int(match[2])


def _refuse(resource: str, options: PortOptions) -> str | None:
    if _split(resource, options) is None:
        return "a port is tcp:N, tcp6:N, udp:N or udp6:N, with N from 1 to 65535"
    return None


def _observe(resource: str, options: PortOptions) -> str:
    network, port = _split(resource, options) or ("tcp", 0)
    family = network.removesuffix("6")
    # proc(5): local_address is hexadecimal; 0A in the column st is LISTEN, and UDP sockets do not listen.
    state = "0A" if family == "tcp" else "[0-9A-F][0-9A-F]"
    pattern = f":{port:04X} [0-9A-F]*:[0-9A-F]* {state} "
    return f"""[ -r /proc/net/{family} ] || {{ echo "/proc/net/{family} cannot be read" >&2; exit 1; }}
for t in {family} {family}6; do
  [ -r /proc/net/$t ] || continue
  l=$(grep '{pattern}' /proc/net/$t); [ $? -le 1 ] || exit 1
  [ -z "$l" ] || printf '%s\\n' "$l" | while read -r _ local _; do echo "$t $local"; done
done
echo {_DONE}"""


def _together_key(resource: str, options: PortOptions) -> str | None:
    network, port = _split(resource, options) or ("tcp", 0)
    return f"{network}:{port}"


def _observe_together(ports: Sequence[tuple[str, PortOptions]]) -> str:
    looks = [f"at {key}\n{_observe(key, options)}" for key, options in ports]
    return "\n".join(["[ -r /proc/net/tcp ] || exit", *looks])


ADDRESS = r"(?:[0-9A-F]{8}|[0-9A-F]{32})"
"""One of /proc/net (proc(5)), as a regular expression: of IPv4 or of IPv6, and no other length."""


def address_of(text: str) -> str:
    """An address of /proc/net: groups of four bytes, each in the host's order, which is little-endian."""
    raw = bytes.fromhex(text)
    swapped = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    return str(ipaddress.ip_address(swapped))


def _bound(stdout: str, network: str) -> tuple[str, ...]:
    pattern = rf"^{network} ({ADDRESS}):[0-9A-F]{{4}}\r?$"
    return tuple(address_of(text) for text in re.findall(pattern, stdout, re.MULTILINE))


def _compare(resource: str, options: PortOptions, observation: Observation) -> Iterator[Claim]:
    network, port = _split(resource, options) or ("tcp", 0)
    other = network.removesuffix("6") if network.endswith("6") else f"{network}6"
    addresses = _bound(observation.stdout, network)
    note = f"it is bound as {other}:{port} only" if not addresses and _bound(observation.stdout, other) else ""
    seen = _DONE in observation.stdout
    listening = bool(addresses) if seen else Unseen(reason=observation.stderr.strip() or "the probe did not finish")
    yield from judge_existing(
        Attribute(name="listening", expected=options.listening, actual=listening, note=note),
        (Attribute(name="ip", expected=options.ip, actual=addresses),),
    )


KIND = ResourceKind(
    name="port",
    summary="something listens on a TCP or UDP port",
    options=PortOptions,
    example='"tcp:22":\n  listening: true\n  ip: [0.0.0.0]\n',
    observe=_observe,
    compare=_compare,
    together=Together(key=_together_key, observe=_observe_together, rootless=True),
    refusal=_refuse,
)
