"""kernel-param: the value of a sysctl, from /proc/sys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from shlex import quote
from typing import Annotated

from pydantic import Field

from metallize.checks.claims import CONTENTS, Attribute, Unseen, judge_all, read_fields
from metallize.checks.decoding import Expected
from metallize.checks.kind import Claim, Observation, ResourceKind, Together
from metallize.model.kind import ResourceOptions


class KernelParamOptions(ResourceOptions):
    """The attributes of one kernel parameter; its key is net.ipv4.ip_forward, say."""

    name: Annotated[str | None, Field(description="the parameter, where the key is only a label")] = None
    value: Annotated[Expected, Field(description="text, or a number, or a matcher")]


def _path(resource: str, options: KernelParamOptions) -> str:
    """sysctl(8): dots and slashes change places, unless a slash comes first."""
    name = options.name or resource
    first = next((char for char in name if char in "./"), ".")
    return name.translate(str.maketrans("./", "/.")) if first == "." else name


def _refuse(resource: str, options: KernelParamOptions) -> str | None:
    parts = _path(resource, options).split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\0" in resource:
        return f"`{options.name or resource}` is no name of a kernel parameter, like net.ipv4.ip_forward"
    return None


def _observe(resource: str, options: KernelParamOptions) -> str:
    path = quote(f"/proc/sys/{_path(resource, options)}")
    return f"""p={path}
if [ -r "$p" ]; then
  if v=$(cat -- "$p"); then echo {CONTENTS}; printf '%s\\n' "$v"; else echo "missing the parameter cannot be read"; fi
elif [ -e "$p" ]; then echo "missing the parameter may not be read by $(id -un)"
else echo "missing there is no such parameter"; fi"""


def _together_key(resource: str, options: KernelParamOptions) -> str | None:
    return _path(resource, options)


def _observe_together(params: Sequence[tuple[str, KernelParamOptions]]) -> str:
    return f"""for n in {" ".join(path for path, _ in params)}; do
  v=$(cat "/proc/sys/$n" 2>/dev/null) && at "$n" && echo {CONTENTS} && printf '%s\\n' "$v"
done
:"""


def _compare(_resource: str, options: KernelParamOptions, observation: Observation) -> Iterator[Claim]:
    fields = read_fields(observation)
    missing = Unseen(reason=fields.values.get("missing") or fields.trouble)
    value = fields.contents.strip() if fields.contents is not None else missing
    yield from judge_all((Attribute(name="value", expected=options.value, actual=value),))


KIND = ResourceKind(
    name="kernel-param",
    summary="the value of a sysctl",
    options=KernelParamOptions,
    example="kernel.ostype:\n  value: Linux\n",
    observe=_observe,
    compare=_compare,
    together=Together(key=_together_key, observe=_observe_together, rootless=True),
    refusal=_refuse,
)
