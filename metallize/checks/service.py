"""service: whether a unit is enabled and running, as systemd, OpenRC or System V init see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Annotated, Self

from pydantic import Field, model_validator

from metallize.checks.claims import Attribute, Fields, Unseen, judge_all, read_fields
from metallize.checks.decoding import Expected, ExpectedBool
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.model.kind import ResourceOptions


class ServiceOptions(ResourceOptions):
    """The attributes of one service."""

    name: Annotated[str | None, Field(description="the service, where the key is only a label")] = None
    enabled: Annotated[ExpectedBool | None, Field(description="starts at boot")] = None
    running: Annotated[ExpectedBool | None, Field(description="is active now")] = None
    runlevels: Annotated[Expected | None, Field(description="runlevels it starts in; OpenRC and System V only")] = None

    @model_validator(mode="after")
    def _asserts_something(self) -> Self:
        if self.enabled is None and self.running is None and self.runlevels is None:
            raise ValueError("nothing is asserted: say enabled or running")
        return self


def _name(resource: str, options: ServiceOptions) -> str:
    return options.name or resource


def _refuse(resource: str, options: ServiceOptions) -> str | None:
    name = _name(resource, options)
    if "/" in name or name.startswith("-") or not name.strip():
        return f"`{name}` is no name of a service"
    return None


_RUNNING = """case $? in
    0) echo "running yes" ;;
    4|12[4-9]|1[3-9]?|2??) echo "running its status could not be asked for" ;;
    *) echo "running no" ;;
  esac"""
"""What a script's `status` ended with (LSB 5.0, 22.2: 4 is unknown); one that is not there or crashed knows nothing."""


def _observe(resource: str, options: ServiceOptions) -> str:
    name = quote(_name(resource, options))
    # One call tells all of a unit's state; only is-enabled knows of System V scripts behind systemd. Each program that
    # is started costs an emulated guest a tenth of a second.
    enabled = 'enabled=$(systemctl is-enabled -- "$n" 2>/dev/null); echo "enabled_status $?"; echo "enabled $enabled"'
    return f"""n={name}
if [ -d /run/systemd/system ]; then
  echo "init systemd"
  systemctl show -p LoadState -p ActiveState -p SubState -p Result -- "$n" | while IFS='=' read -r k v; do
    echo "$k $v"
  done
  {enabled if options.enabled is not None else ":"}
elif [ -d /etc/runlevels ]; then
  echo "init openrc"
  for f in /etc/runlevels/*/"$n"; do [ -e "$f" ] && f=${{f%/*}} && echo "level.${{f##*/}} ${{f##*/}}"; done
  rc-service "$n" status >/dev/null 2>&1; {_RUNNING}
elif [ -d /etc/init.d ]; then
  echo "init sysv"
  for f in /etc/rc*.d/S[0-9][0-9]"$n"; do
    [ -e "$f" ] && f=${{f#/etc/rc}} && echo "level.${{f%%.d/*}} ${{f%%.d/*}}"
  done
  if [ -x "/etc/init.d/$n" ]; then "/etc/init.d/$n" status >/dev/null 2>&1; {_RUNNING}
  else echo "running no"; fi
fi
:"""


def _observe_together(services: Sequence[tuple[str, ServiceOptions]]) -> str:
    names = " ".join(name for name, _ in services)
    enabled = " ".join(name for name, options in services if options.enabled is not None)
    # One block of lines a unit, in the order of the names; a block that is not of that name is left out. Where systemd
    # does not answer (who is not root asks it by D-Bus), nothing is said.
    return f"""if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
  set -- {names}
  block() {{
    case " $names " in *" $1 "* | *" $1.service "*) at "$1"; echo "init systemd"; printf %s "$b" ;; esac
  }}
  systemctl show -p Names -p LoadState -p ActiveState -p SubState -p Result -- "$@" | {{
    b= names=
    while IFS='=' read -r k v; do
      case $k in
        '') block "$1"; shift; b= names= ;;
        Names) names=$v ;;
        *) b="$b$k $v
" ;;
      esac
    done
    block "$1"
    [ "$names" ]
  }} && for n in {enabled}; do
    e=$(systemctl is-enabled -- "$n" 2>/dev/null); s=$?
    at "$n"; echo "enabled_status $s"; echo "enabled $e"
  done
fi
:"""


def _compare(_resource: str, options: ServiceOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    levels = tuple(value for name, value in fields.values.items() if name.startswith("level."))
    if fields.values.get("init") == "systemd":
        yield from _systemd(options, fields)
        return
    enabled = fields.text("init") if "init" not in fields.values else bool(levels)
    yield from judge_all(
        (
            Attribute(name="enabled", expected=options.enabled, actual=enabled),
            Attribute(name="running", expected=options.running, actual=fields.truth("running")),
            Attribute(name="runlevels", expected=options.runlevels, actual=levels),
        )
    )


def _systemd(options: ServiceOptions, fields: Fields) -> Iterator[Claim]:
    active = fields.text("ActiveState")
    state = active if isinstance(active, str) else "unknown"
    unknown = fields.values.get("LoadState") == "not-found"
    details = [f"its state is {state} ({fields.values.get('SubState', 'unknown')})"]
    if (result := fields.values.get("Result", "success")) not in {"success", ""}:
        details.append(f"result {result}")
    if unknown:
        details = ["there is no such unit"]
    status = fields.number("enabled_status")
    enabled = status == 0 if isinstance(status, int) else status
    if enabled is False and not unknown and not fields.values.get("enabled"):
        # it ends with 1 as well where it could not ask
        enabled = Unseen(reason=f"`systemctl is-enabled` did not say (status {status})")
    yield from judge_all(
        (
            Attribute(
                name="enabled",
                expected=options.enabled,
                actual=enabled,
                note="there is no such unit"
                if unknown
                else f"systemctl is-enabled says {fields.values.get('enabled')}",
            ),
            Attribute(
                name="running",
                expected=options.running,
                actual=active if isinstance(active, Unseen) else active in {"active", "reloading", "refreshing"},
                note=", ".join(details),
            ),
            Attribute(name="runlevels", expected=options.runlevels, actual=(), note="systemd has no runlevels"),
        )
    )


KIND = ResourceKind(
    name="service",
    summary="a service is enabled at boot, or running",
    options=ServiceOptions,
    example="ssh:\n  enabled: true\n  running: true\n",
    observe=_observe,
    compare=_compare,
    refusal=_refuse,
    together=Together(key=_name, observe=_observe_together, rootless=True),
)
