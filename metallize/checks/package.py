"""package: whether a package is installed, and in which versions, by dpkg, rpm, apk or pacman."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import Attribute, Unseen, judge_existing, read_fields
from metallize.checks.decoding import Expected, ExpectedBool
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.model.kind import Retrying


class PackageOptions(Retrying):
    """The attributes of one package."""

    name: Annotated[str | None, Field(description="the package, where the key is only a label")] = None
    installed: Annotated[ExpectedBool, Field(description="it is installed and configured")]
    versions: Annotated[Expected | None, Field(description="versions that are installed")] = None


def _refuse(resource: str, options: PackageOptions) -> str | None:
    name = options.name or resource
    return f"`{name}` is no name of a package" if name.startswith("-") or not name.strip() else None


def _observe(resource: str, options: PackageOptions) -> str:
    name = quote(options.name or resource)
    return f"""n={name}
if command -v dpkg-query >/dev/null; then
  echo "tool dpkg"
  dpkg-query -W -f '${{Status}} ${{Version}}\\n' "$n" 2>/dev/null | while read -r want error state version; do
    echo "version.$version $want $error $state"
  done
elif command -v apk >/dev/null; then
  echo "tool apk"
  v=$(apk info -ve "$n" 2>/dev/null | head -n 1); [ -n "$v" ] && echo "version.${{v#"$n"-}} install ok installed"
elif command -v rpm >/dev/null; then
  echo "tool rpm"
  rpm -q --nosignature --nodigest \\
    --qf 'version.%|EPOCH?{{%{{EPOCH}}:}}:{{}}|%{{VERSION}}-%{{RELEASE}} install ok installed\\n' "$n" 2>/dev/null |
    grep '^version\\.'
elif command -v pacman >/dev/null; then
  echo "tool pacman"
  pacman -Q "$n" 2>/dev/null | while read -r _ version; do echo "version.$version install ok installed"; done
fi
:"""


def _together_key(resource: str, options: PackageOptions) -> str | None:
    """As deb-control(5) has it; a name with an architecture is not what dpkg-query calls the package."""
    name = options.name or resource
    return name if re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) else None


def _observe_together(packages: Sequence[tuple[str, PackageOptions]]) -> str:
    names = " ".join(name for name, _ in packages)
    return f"""if command -v dpkg-query >/dev/null && [ -r /var/lib/dpkg/status ]; then
  for n in {names}; do at "$n"; echo "tool dpkg"; done
  dpkg-query -W -f "\\n$METALLIZE_AT "'${{Package}}\nversion.${{Version}} ${{Status}}\n' {names} 2>/dev/null
fi
:"""


def _compare(_resource: str, options: PackageOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    states = {
        name.removeprefix("version."): state for name, state in fields.values.items() if name.startswith("version.")
    }
    versions = tuple(
        version for version, state in states.items() if state in {"install ok installed", "hold ok installed"}
    )
    others = [state for version, state in states.items() if version not in versions]
    installed = bool(versions) if "tool" in fields.values else Unseen(reason="no dpkg, apk, rpm or pacman was found")
    note = f"dpkg says: {others[0]}" if others else ""
    yield from judge_existing(
        Attribute(name="installed", expected=options.installed, actual=installed, note=note),
        (Attribute(name="versions", expected=options.versions, actual=versions),),
    )


KIND = ResourceKind(
    name="package",
    summary="a package is installed, in which versions",
    options=PackageOptions,
    example="openssh-server:\n  installed: true\n",
    observe=_observe,
    compare=_compare,
    refusal=_refuse,
    together=Together(key=_together_key, observe=_observe_together, rootless=True),
)
