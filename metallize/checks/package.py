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
from metallize.model.kind import Retrying, lines_of


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
    # Each that is there is asked: a guest of rpm's may have dpkg too, whose database is empty.
    return f"""n={name}
if command -v dpkg-query >/dev/null; then
  l=$(dpkg-query -W -f '|${{Version}} ${{Status}}\\n' "$n"); {_told("dpkg", "[ $s -le 1 ]")}
  printf '%s\\n' "$l" | while read -r version state; do
    [ -z "$state" ] || echo "version.${{version#|}} $state"
  done
fi
if command -v apk >/dev/null; then
  l=$(apk info -ve "$n"); {_told("apk", "[ $s -le 1 ]")}
  for v in $l; do echo "version.${{v#"$n"-}} install ok installed"; break; done
fi
if command -v rpm >/dev/null; then
  l=$(rpm -q --nosignature --nodigest \\
    --qf 'version.%|EPOCH?{{%{{EPOCH}}:}}:{{}}|%{{VERSION}}-%{{RELEASE}} install ok installed\\n' "$n")
  {_told("rpm", '{ [ $s = 0 ] || case $l in *"is not installed"*) ;; *) false ;; esac; }')}
  printf '%s\\n' "$l" | while IFS= read -r v; do case $v in version.*) echo "$v" ;; esac; done
fi
if command -v pacman >/dev/null; then
  l=$(pacman -Q "$n"); {_told("pacman", "[ $s -le 1 ]")}
  printf '%s\\n' "$l" | while read -r _ version; do
    [ -z "$version" ] || echo "version.$version install ok installed"
  done
fi
:"""


def _told(tool: str, answered: str) -> str:
    """Shell text after a question to a tool: what is known of its answer, where `answered` holds of its status."""
    return f's=$?; if {answered}; then echo "tool {tool}"; else echo "silent {tool} (status $s)"; fi'


def _together_key(resource: str, options: PackageOptions) -> str | None:
    """As deb-control(5) has it; a name with an architecture is not what dpkg-query calls the package."""
    name = options.name or resource
    return name if re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) else None


def _observe_together(packages: Sequence[tuple[str, PackageOptions]]) -> str:
    names = " ".join(name for name, _ in packages)
    return f"""if command -v dpkg-query >/dev/null && [ -r /var/lib/dpkg/status ]; then
  for t in apk rpm pacman; do command -v $t >/dev/null && exit; done
  l=$(dpkg-query -W -f "\\n$METALLIZE_AT "'${{Package}}\nversion.${{Version}} ${{Status}}\n' {names} 2>/dev/null)
  [ $? -le 1 ] || exit
  for n in {names}; do at "$n"; echo "tool dpkg"; done
  printf '%s\\n' "$l"
fi
:"""


def _compare(_resource: str, options: PackageOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    # one version may be there for several architectures, in several states
    lines = [line.partition(" ") for line in lines_of(observation.stdout) if line.startswith("version.")]
    states = [(name.removeprefix("version."), state) for name, _, state in lines]
    there = {"install ok installed", "hold ok installed"}
    versions = tuple(dict.fromkeys(version for version, state in states if state in there))
    others = [state for version, state in states if version not in versions]
    installed: bool | Unseen = bool(versions)
    if not versions and "silent" in fields.values:
        installed = Unseen(reason=f"{fields.values['silent']} did not tell: {fields.trouble}")
    elif "tool" not in fields.values:
        installed = Unseen(reason="no dpkg, apk, rpm or pacman was found")
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
