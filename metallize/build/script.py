"""A BuildPlan as a shell script that does the same build with docker and standard tools alone.

The one place that writes shell; every value from a profile is quoted with shlex.
"""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from metallize.build.app import CARRIED
from metallize.build.bootstrap import base_tag, bootstrap_argv, distribution
from metallize.build.plan import PARENT_LABEL, BuildPlan, ImageStack, LayerBuild
from metallize.model.profile import Platform

GENERATOR_LIMITS = (
    "--network", "none", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only", "--tmpfs", "/tmp",  # noqa: S108 - the container's own
)  # fmt: skip

NATIVE_BASE = "native_base"
"""The shell variable that names the image of the host's own architecture."""

_FUNCTIONS = r"""
set -eu
export DOCKER_BUILDKIT=1 BUILDX_BUILDER=default BUILDX_NO_DEFAULT_ATTESTATIONS=1
say() { printf '%s\n' "$*" >&2; }

# A docker CLI that can build with BuildKit: one with the buildx component, or one older than 23.
can_build() {
  "$1" buildx version >/dev/null 2>&1 && return
  major=$("$1" version --format '{{.Client.Version}}' 2>/dev/null | cut -d . -f 1)
  [ "${major:-99}" -lt 23 ]
}
if [ -z "${docker-}" ]; then
  for docker in docker /usr/bin/docker /usr/local/bin/docker ''; do
    [ -n "$docker" ] || { say 'no docker CLI here can build with BuildKit: install docker-buildx'; exit 3; }
    if command -v "$docker" >/dev/null && can_build "$docker"; then break; fi
  done
fi
here() { [ "$("$docker" image inspect --format '{{.Os}}/{{.Architecture}}' "$1" 2>/dev/null)" = "$2" ]; }
id_of() { "$docker" image inspect --format '{{.Id}}' "$1" 2>/dev/null; }
parent_of() { "$docker" image inspect --format '{{index .Config.Labels "%(label)s"}}' "$1" 2>/dev/null || true; }

# build_layer TAG PARENT DOCKERFILE CONTEXT ARGUMENTS...: nothing to do where TAG stands on this very parent.
build_layer() {
  tag=$1 parent=$2 file=$3 context=$4
  shift 4
  parent_id=$(if [ -n "$parent" ]; then id_of "$parent"; fi)
  if [ -n "$(id_of "$tag")" ] && [ "$(parent_of "$tag")" = "$parent_id" ]; then return; fi
  say "building $tag"
  "$docker" build --progress plain --label "%(label)s=$parent_id" --tag "$tag" --file "$file" "$@" "$context" >&2
}
"""


def shell_script(plan: BuildPlan, *, cached: Mapping[str, bool] | None = None) -> str:
    """The build as a script for sh(1), with comments that say what each step is for.

    `cached` tells for each tag whether it is built already; None where no engine could be asked.
    """
    lines = [*_header(plan, cached), *_functions(), ""]
    lines += ["# --- The rootfs: a base image and the layers on it, bottom first ---"]
    made, top = _stack(plan.rootfs, "base")
    lines += made
    lines += ["", f"# --- The tools of generator {plan.job.generator} ---"]
    made, tools = _stack(plan.tools, "tools_base")
    lines += made
    lines += ["", *_assembly(plan, top, tools)]
    return "\n".join(lines) + "\n"


def _functions() -> list[str]:
    return (_FUNCTIONS.replace("%(label)s", PARENT_LABEL)).strip("\n").splitlines()


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), width=106)]


def _header(plan: BuildPlan, cached: Mapping[str, bool] | None) -> list[str]:
    job = plan.job
    lines = ["#!/bin/sh", *_comment(f"{plan.image.name}: made from {plan.profile} by `metallize plan`."), "#"]
    lines += _comment(f"Output: {plan.image} ({job.format}, generator {job.generator}).")
    lines += _comment(f"Kernel command line: {job.kernel_boot_params}")
    lines += _comment(f"Generator options: {', '.join(f'{k}={v}' for k, v in job.options.items())}")
    lines += _comment(f"Hostname, unless a layer sets one: {job.hostname}")
    lines += ["#", "# The image holds, bottom first:"]
    if plan.rootfs.base:
        lines.append(f"#   {plan.rootfs.base.reference} ({plan.rootfs.platform})")
    for layer in plan.rootfs.layers:
        state = "" if cached is None else (" [cached]" if cached.get(layer.tag) else " [to build]")
        lines.append(f"#   {layer.name}{state}: {layer.summary}")
    lines.append("#   fstab, the initrd, and what makes a container's rootfs an OS (generators/common)")
    if cached is None:
        lines.append("# No container engine answered, so what is cached is not known.")
    lines += ["# note: " + " ".join(words.split()) for words in _notes(plan)]
    return [*lines, ""]


def _notes(plan: BuildPlan) -> Iterator[str]:
    """What becomes of instructions that configure a container."""
    app = plan.app
    if app is not None:
        command = shlex.join(app.argv)
        yield (
            f"{app.layer}:{app.line}: {app.name} runs `{command}` as {app.user} in {app.directory}, "
            f"restart {app.restart}, output in the journal (output.app changes it, `app: false` leaves it out)."
        )
    for layer in plan.rootfs.layers:
        for each in layer.runtime_only:
            if app is None or each.word not in CARRIED:
                yield f"{layer.name}:{each.line}: {each.word} configures a container; an OS that boots does not see it."
            elif each.word in ("CMD", "ENTRYPOINT") and layer.name != app.layer:
                yield f"{layer.name}:{each.line}: {each.word} gives way to that of {app.layer}, as in a container."


def _stack(stack: ImageStack, variable: str) -> tuple[list[str], str]:
    """The lines that make a stack, and the shell word that names its top."""
    lines: list[str] = []
    parent = "''"
    if stack.base:
        lines += _base(stack.base.reference, stack.platform, variable)
        parent = f'"${variable}"'
    for layer in stack.layers:
        if layer.native_base:
            lines += _base(layer.native_base.reference, layer.native_base.platform, NATIVE_BASE)
        lines += _layer(layer, parent, stack.platform)
        parent = shlex.quote(layer.tag)
    return lines, parent


def _base(reference: str, platform: Platform, variable: str) -> list[str]:
    """Local, else a registry, else, for Debian and Ubuntu, the distribution's own packages."""
    word = shlex.quote(reference)
    lines = [f"{variable}={word}"]
    wanted = distribution(reference)
    pull = f'"$docker" pull --quiet --platform {platform} {word} >&2'
    if wanted is None:
        return [*lines, f"here {word} {platform} || {pull}"]
    own = base_tag(reference, platform)
    make = shlex.join(bootstrap_argv(wanted, platform, "-"))
    return [
        *lines,
        f"if ! here {word} {platform}; then",
        f"  if here {own} {platform} || ! {pull}; then",
        f"    {variable}={own}",
        f"    if ! here {own} {platform}; then",
        f"      say 'no registry gave {reference}: making it from the distribution'\\''s packages'",
        "      scratch=$(mktemp -d)",
        "      # shellcheck disable=SC2016 # the hook's own variable",
        f'      {make} >"$scratch/base.tar"',
        "      printf 'FROM scratch\\nADD base.tar /\\n' >\"$scratch/Dockerfile\"",
        f'      "$docker" build --progress plain --platform {platform} --tag {own} "$scratch" >&2',
        '      rm -r "$scratch"',
        "    fi",
        "  fi",
        "fi",
    ]


def _layer(layer: LayerBuild, parent: str, platform: Platform) -> list[str]:
    words = [shlex.quote(str(layer.dockerfile)), shlex.quote(str(layer.context)), "--platform", str(platform)]
    words += ["--build-arg", f"METALLIZE_SRC_IMG={parent}"] if parent != "''" else []
    words += ["--build-arg", f'METALLIZE_NATIVE_IMG="${NATIVE_BASE}"'] if layer.native_base else []
    for name, value in layer.build_args.items():
        words += ["--build-arg", shlex.quote(f"{name}={value}")]
    return [*_comment(f"{layer.name}: {layer.summary}"), f"build_layer {layer.tag} {parent} {' '.join(words)}"]


def _assembly(plan: BuildPlan, top: str, tools: str) -> Iterable[str]:
    seal = plan.seal
    created = f"\"$docker\" image inspect --format '{{{{.Created}}}}' {top}"
    job = shlex.quote(json.dumps(plan.job.as_json(), sort_keys=True))
    return [
        "# --- The image: fstab and initrd, then the rootfs as a stream into the generator's container ---",
        "# No time in the image is later than the last layer's.",
        f'epoch=${{SOURCE_DATE_EPOCH-$(date --date "$({created})" +%s)}}',
        f"mkdir -p {shlex.quote(str(plan.build_dir))}",
        f"work=$(mktemp -d {shlex.quote(str(plan.build_dir.absolute() / '.work.XXXXXX'))})",
        "trap 'rm -rf \"$work\"' EXIT",
        "trap 'exit 130' INT TERM",
        f'{{ "$docker" build --progress plain --platform {plan.rootfs.platform} \\',
        f"    --file {shlex.quote(str(seal.dockerfile))} \\",
        f"    --build-arg METALLIZE_SRC_IMG={top} --build-arg METALLIZE_FSTAB={shlex.quote(seal.fstab)} \\",
        f'    --output type=tar,dest=- {shlex.quote(str(seal.context))} || {{ echo failed >"$work/seal"; }}; }} |',
        f'  "$docker" run --rm --interactive {shlex.join(GENERATOR_LIMITS)} \\',
        '    --user "$(id -u):$(id -g)" --env SOURCE_DATE_EPOCH="$epoch" --volume "$work:/out" \\',
        f"    {tools} /generator/build {job}",
        '[ ! -e "$work/seal" ] || exit 3',
        f'mv "$work/image" {shlex.quote(str(plan.image))}',
        f"say {shlex.quote(str(plan.image))}",
    ]
