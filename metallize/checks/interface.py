"""interface: a network interface, its addresses and its MTU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_existing, read_fields
from metallize.checks.decoding import Expected, ExpectedBool, ExpectedNumber
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.model.kind import ResourceOptions


class InterfaceOptions(ResourceOptions):
    """The attributes of one network interface."""

    name: Annotated[str | None, Field(description="the interface, where the key is only a label")] = None
    exists: Annotated[ExpectedBool, Field(description="the interface is there, up or down")]
    addrs: Annotated[Expected | None, Field(description="addresses with their prefix: 10.0.2.15/24")] = None
    mtu: ExpectedNumber | None = None


def _refuse(resource: str, options: InterfaceOptions) -> str | None:
    name = options.name or resource
    if not name or "/" in name or name in {".", ".."} or name.startswith("-"):
        return f"`{name}` is no name of a network interface"
    return None


def _observe(resource: str, options: InterfaceOptions) -> str:
    name = quote(options.name or resource)
    return f"""n={name}
if [ -d "/sys/class/net/$n" ]; then
  echo "exists yes"
  IFS= read -r m <"/sys/class/net/$n/mtu" && echo "mtu $m"
  if command -v ip >/dev/null; then
    a=$(ip -o addr show dev "$n") && echo "ip yes"
    printf '%s\\n' "$a" | while read -r _ _ family address _; do
      case $family in inet|inet6) echo "addr.$address $family";; esac
    done
  fi
elif [ -d /sys/class/net ]; then echo "exists no"; fi
:"""


def _together_key(resource: str, options: InterfaceOptions) -> str | None:
    return options.name or resource


def _observe_together(interfaces: Sequence[tuple[str, InterfaceOptions]]) -> str:
    return "\n".join(f"at {key}\n{_observe(key, options)}" for key, options in interfaces)


def _compare(_resource: str, options: InterfaceOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    addresses = tuple(name.removeprefix("addr.") for name in fields.values if name.startswith("addr."))
    yield from judge_existing(
        Attribute(name="exists", expected=options.exists, actual=fields.truth("exists")),
        (
            Attribute(
                name="addrs",
                expected=options.addrs,
                actual=addresses
                if "ip" in fields.values
                else Unseen(reason=observation.stderr.strip() or "the guest has no `ip` command"),
            ),
            Attribute(name="mtu", expected=options.mtu, actual=fields.number("mtu")),
        ),
    )


KIND = ResourceKind(
    name="interface",
    summary="a network interface, its addresses and MTU",
    options=InterfaceOptions,
    example="lo:\n  exists: true\n  addrs: [127.0.0.1/8]\n  mtu: 65536\n",
    observe=_observe,
    compare=_compare,
    together=Together(key=_together_key, observe=_observe_together, rootless=True),
    refusal=_refuse,
)
