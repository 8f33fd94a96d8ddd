"""A BuildPlan as a shell script that does the same build with docker and standard tools alone.

The one place that writes shell; every value from a profile is quoted with shlex.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Mapping

from metallize.build.engines.rootfs_pipe import NAME as PIPE
from metallize.build.epoch import LATEST
from metallize.build.notes import notes
from metallize.build.packages.census import DEFAULT_EPOCH
from metallize.build.packages.lock import lock_path
from metallize.build.plan import BuildPlan
from metallize.build.step import (
    ASKED,
    DIGEST,
    PARENT_ID,
    PINNED,
    PINNED_DIGITS,
    SCRATCH,
    SIGNATURE,
    TAG,
    Kind,
    Step,
    in_shell,
)
from metallize.build.steps import Steps, steps_of
from metallize.build.steps.assembly import COMPARED, NOTHING, SEALED_CONTAINER, SEALED_DIGITS, SEALED_IMAGE
from metallize.files.token_uri import PIN
from metallize.host.token import TOOL, Token

_FUNCTIONS = r"""
set -eu
export DOCKER_BUILDKIT=1 BUILDKIT_PROGRESS=plain BUILDX_BUILDER=default BUILDX_NO_DEFAULT_ATTESTATIONS=1
say() { printf '%%s\n' "$*" >&2; }

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
id_of() { "$docker" image inspect --format '{{.Id}}' "$1" 2>/dev/null; }

# look_for PLATFORM PLACES...: sets `id` to the first image there is for this platform, or to nothing.
look_for() {
  wanted=$1
  shift
  for place; do
    id=$(id_of "$place" || true)
    if [ -n "$id" ] && [ "$("$docker" image inspect --format '{{.Os}}/{{.Architecture}}' "$id")" = "$wanted" ]; then
      return
    fi
  done
  id=
}

# pinned: gives the image `id` a name that stays with it, and sets `reference` to that.
pinned() {
  reference=%(pinned)s:$(printf %%s "${id#*:}" | cut -c 1-%(digits)s)
  "$docker" tag "$id" "$reference"
}

# lend IMAGE REFERENCE: see that a reference of a dockerfile leads to the image that was found for it.
lend() { [ "$(id_of "$1")" = "$(id_of "$2" || true)" ] || "$docker" tag "$1" "$2"; }

# find_layer REPOSITORY KEY IDS...: sets `tag`, which has all in it that the layer is built from, and `id` where it is.
find_layer() {
  repository=$1
  shift
  first=$1
  shift
  tag=$repository:$({ printf %%s "$first"; for input; do printf '\0%%s' "$input"; done; } | sha256sum | cut -c 1-16)
  id=$(id_of "$tag" || true)
}

# What the seal compares the rootfs with: nothing where ONBUILD instructions would run in it once more.
compared_with() {
  triggers=$("$docker" image inspect --format '{{len .Config.OnBuild}}' "$1")
  if [ "$triggers" = 0 ]; then echo "$1"; else echo %(nothing)s; fi
}

# In namespaces of its own where root may make them: its mounts and every process of it end with it.
enclosed() {
  set -- unshare --mount --pid --fork --kill-child --mount-proc -- "$@"
  if [ "$(id -u)" != 0 ] || ! unshare --mount --pid --fork --kill-child --mount-proc -- true 2>/dev/null; then
    shift 7
  fi
  "$@"
}
"""


_EPOCH = (
    "# The latest time that a file of the image may have, where SOURCE_DATE_EPOCH sets it: looked at before all else.",
    "epoch=${SOURCE_DATE_EPOCH-}",
    'while case "$epoch" in 0?*) ;; *) false ;; esac do epoch=${epoch#0}; done',
    f'case "$epoch" in *[!0-9]*) false ;; *) [ "${{epoch:-0}}" -le {LATEST} ] 2>/dev/null ;; esac || {{',
    "  say 'SOURCE_DATE_EPOCH is no number of seconds from 1970 to 2106'",
    "  exit 2",
    "}",
)


def shell_script(plan: BuildPlan, *, known: Mapping[str, str] | None = None, lacking: Iterable[str] = ()) -> str:
    """The build as a script for sh(1): the very commands that `metallize build` runs, with what each is for.

    `known` has the ids of the steps' images that are there already; None where no engine could be asked. `lacking` is
    what the engine cannot build of it.
    """
    steps = steps_of(plan)
    lines = [*_header(plan, steps, known, lacking), *_functions(), *_EPOCH, "", *_pin(plan)]
    lines += ["# --- The rootfs: a base image and the layers on it, bottom first ---"]
    taken = frozenset(name for step in steps for name in step.inputs if step.kind is Kind.LAYER)
    lines += [line for step in steps.rootfs for line in _made(step, taken)]
    lines += ["", f"# --- The tools of generator {plan.job.generator} ---"]
    lines += [line for step in steps.tools for line in _made(step, taken)]
    lines += ["", *_assembly(plan, steps)]
    return "\n".join(lines) + "\n"


def _functions() -> list[str]:
    return (_FUNCTIONS % {"pinned": PINNED, "digits": PINNED_DIGITS, "nothing": NOTHING}).strip("\n").splitlines()


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), width=106)]


def _header(plan: BuildPlan, steps: Steps, known: Mapping[str, str] | None, lacking: Iterable[str]) -> list[str]:
    job = plan.job
    lines = ["#!/bin/sh", *_comment(f"{plan.image.name}: made from {plan.profile} by `metallize plan`."), "#"]
    lines += _comment(f"Output: {plan.image} ({job.format}, generator {job.generator}).")
    lines += _comment(f"Kernel command line: {job.kernel_boot_params}")
    lines += _comment(f"Generator options: {', '.join(f'{k}={v}' for k, v in job.options.items())}")
    lines += _comment(f"Hostname, unless a layer sets one: {job.hostname}")
    lines += ["#", "# The image holds, bottom first:"]
    if plan.rootfs.base:
        date = f" as of {plan.rootfs.base.snapshot}" if plan.rootfs.base.snapshot else ""
        lines.append(f"#   {plan.rootfs.base.reference} ({plan.rootfs.platform}){date}")
    layers = [step for step in steps.rootfs if step.kind is Kind.LAYER]
    for layer, step in zip(plan.rootfs.layers, layers, strict=True):
        state = "" if known is None else (" [cached]" if step.id in known else " [to build]")
        lines.append(f"#   {layer.name}{state}: {' '.join(layer.summary.split())}")
    lines.append("#   fstab, the initrd, and what makes a container's rootfs an OS (generators/common)")
    if known is None:
        lines.append("# No container engine answered, so what is cached is not known.")
    lines += ["# note: " + " ".join(words.split()) for words in (*notes(plan), *lacking)]
    return [*lines, ""]


def _made(step: Step, taken: frozenset[str]) -> Iterator[str]:
    """The lines that make a step's image, and set variables: NAME to what it is called; NAME_id, if `taken`, its id."""
    name = "$reference" if step.kind is Kind.BASE else f"${TAG}"
    yield from _base(step) if step.kind is Kind.BASE else _layer(step)
    yield f"{step.id}={name} {step.id}_id=$id" if step.id in taken else f"{step.id}={name}"


def _base(step: Step) -> Iterator[str]:
    """Local, else a registry's, else, for Debian and Ubuntu, made of the distribution's own packages; or only that."""
    yield from _comment(step.explain)
    yield f"look_for {step.platform} {shlex.join(step.places)}"
    yield 'if [ -z "$id" ]; then'
    if not step.argv:
        yield from _indented(_bootstrapped(step), "  ")
    elif step.otherwise:
        yield f"  if {in_shell(step.argv)} >&2; then"
        yield from _indented(_pulled(step), "    ")
        yield "  else"
        yield f"    say {shlex.quote(f'no registry gave {step.output}: making it from the packages')}"
        yield from _indented(_bootstrapped(step), "    ")
        yield "  fi"
    else:
        yield f"  {in_shell(step.argv)} >&2"
        yield from _indented(_pulled(step), "  ")
    yield "fi"
    yield f'[ -n "$id" ] || {{ say {shlex.quote(f"there is no {step.output} for {step.platform}")}; exit 3; }}'
    yield "pinned"


def _pulled(step: Step) -> Iterator[str]:
    yield f"look_for {step.platform} {shlex.quote(step.output)}"
    yield f'[ -z "$id" ] || "$docker" tag "$id" {shlex.quote(step.places[1])}'


def _bootstrapped(step: Step) -> Iterator[str]:
    yield f'{SCRATCH}=$(mktemp -d) && export {SCRATCH} && chmod 755 "${SCRATCH}"'
    for each in step.otherwise:
        if each.kind is Kind.BASE:
            yield from _made(each, frozenset())
            continue
        yield from _comment(each.explain)
        words = in_shell(each.argv)
        if each.kind is Kind.BOOTSTRAP:
            yield "# shellcheck disable=SC2016 # the hooks' own variables"
            yield f'TMPDIR="${SCRATCH}" enclosed {words} >&2'
        else:
            yield f"{words} >&2"
    yield f'rm -rf "${SCRATCH}"'
    yield f"look_for {step.platform} {shlex.quote(step.places[-1])}"


def _layer(step: Step) -> Iterator[str]:
    ids = [f'"${name}_id"' for name in step.inputs]
    parent = ids[0] if ids else "''"
    yield from _comment(step.explain)
    yield f"find_layer {step.output} {step.key} {' '.join(ids)}".rstrip()
    yield 'if [ -z "$id" ]; then'
    yield f'  say "building $tag" && {PARENT_ID}={parent}'
    for name, reference in step.lent:
        yield f'  lend "${name}" {shlex.quote(reference)}'
    yield f"  {in_shell(step.argv)} >&2"
    yield f'  id=$(id_of "${TAG}")'
    yield "fi"


def _indented(lines: Iterable[str], by: str) -> Iterator[str]:
    return (by + line for line in lines)


def _assembly(plan: BuildPlan, steps: Steps) -> Iterable[str]:
    return [
        *_packages(plan, steps.look),
        "",
        "# --- The image: fstab and initrd, then the rootfs through a pipe into the generator's container ---",
        "# A rootless engine's root is the user who runs it.",
        "user=$(id -u):$(id -g)",
        "case $(\"$docker\" info --format '{{.SecurityOptions}}') in *rootless*) user=0:0 ;; esac",
        f"mkdir -p {shlex.quote(str(plan.build_dir))}",
        f"work=$(mktemp -d {shlex.quote(str(plan.build_dir.absolute() / '.work.XXXXXX'))})",
        'label=$(basename "$work")',
        "# Whose container it is: should this shell be killed, the next build ends it.",
        "since=$(sed 's/.*) //' /proc/$$/stat | cut -d ' ' -f 20)",
        'builder="$(cat /proc/sys/kernel/random/boot_id) $(readlink /proc/self/ns/pid) $$ $since"',
        """work_csv=$(printf %s "$work" | sed 's/"/""/g')""",
        f'sealed=$(printf %s "$work" | sha256sum | cut -c 1-{SEALED_DIGITS})',
        "let_go() {",
        '  [ -n "$sealed" ] || return 0',
        f'  "$docker" rm --force --volumes "{SEALED_CONTAINER}-$sealed" || :',
        f'  "$docker" rmi --force "{SEALED_IMAGE}:$sealed" || :',
        "  sealed=''",
        "} >/dev/null 2>&1",
        "run='' seal=''",
        # An interrupted build ends its container and its build, and leaves no folder and no image.
        """trap 'kill $run $seal 2>/dev/null || :; [ -z "$seal" ] || wait "$seal" || :; let_go; rm -rf "$work"' EXIT""",
        "trap 'exit 130' INT TERM",
        f'mkfifo "$work/{PIPE}"',
        f'exec 9<>"$work/{PIPE}" # held open, so that neither end waits for the other',
        f'exec 8>"$work/{PIPE}" # for the export: the name goes as soon as there is a reader',
        *([f'{COMPARED}=$(compared_with "${steps.ground}")'] if steps.ground else []),
        *_comment(steps.seal.explain),
        f"{in_shell(steps.seal.argv)} >&2 8>&- 9>&- &",
        "seal=$!",
        *_comment(steps.generate.explain),
        "# shellcheck disable=SC2016 # the container's own",
        f"{in_shell(steps.generate.argv)} >&2 8>&- 9>&- &",
        "run=$!",
        'wait "$seal" || { say "the rootfs could not be sealed"; exit 3; }',
        *_comment(steps.hold.explain),
        f"{in_shell(steps.hold.argv)} >/dev/null 8>&- 9>&-",
        *_comment(steps.export.explain),
        f"{in_shell(steps.export.argv)} >&8 8>&- 9>&- &",
        "seal=$!",
        "exec 8>&-",
        "# The reader sees the end when the last writer has gone, and this shell is one until the reader is there.",
        f'while [ -e "$work/{PIPE}" ] && kill -0 "$run" 2>/dev/null; do sleep 0.1; done',
        "exec 9>&-",
        'if wait "$seal"; then exported=yes; else exported=no; fi',
        "let_go",
        'wait "$run" && [ "$exported" = yes ] || { say "the image could not be made"; exit 3; }',
        *_signing(steps.sign, steps.token),
        f'mv "$work/image" {shlex.quote(str(plan.image))}',
        f"say {shlex.quote(str(plan.image))}",
    ]


def _signing(sign: Step | None, token: Step | None) -> list[str]:
    if sign is None:
        return []
    signs = f"{in_shell(sign.argv)} >&2 || {{ say 'the image could not be signed'; exit 3; }}"
    lines = ["", *_comment(sign.explain), signs]
    if token is not None:
        lines += [
            *_comment(token.explain),
            f'for {DIGEST} in "$work/{ASKED}"/*.{DIGEST}; do',
            f"  {SIGNATURE}=${{{DIGEST}%.{DIGEST}}}.{SIGNATURE}",
            f"  {PIN}=$pin {in_shell(token.argv)} >&2 || {{ say 'the token does not sign'; exit 3; }}",
            "done",
            *_comment("once more: the signatures are put in their places"),
            signs,
        ]
    return lines


def _pin(plan: BuildPlan) -> list[str]:
    """Where a token's PIN comes from: read before anything is built."""
    token = plan.signing.key if plan.signing is not None else None
    if not isinstance(token, Token):
        return []
    comment = f"# The PIN of the token whose key signs; {TOOL} gets it in its environment."
    source = token.key.pin_source
    if source is not None:
        return [comment, f"pin=$(cat {shlex.quote(str(source.absolute()))}) || exit 2", ""]
    return [comment, f"pin=${{{PIN}-}}", f"[ -n \"$pin\" ] || {{ say '{PIN} has no PIN of the token'; exit 2; }}", ""]


def _packages(plan: BuildPlan, look: Step) -> Iterable[str]:
    """The image's time, and whether the packages are those of the profile's lock, where it has one."""
    lock = shlex.quote(str(lock_path(plan.profile).absolute()))
    return [
        *_comment(look.explain),
        "# shellcheck disable=SC2016 # for the rootfs's own shell",
        f"{look.id}=$({in_shell(look.argv)})",
        'if [ -z "$epoch" ]; then',
        f"  epoch=$(printf '%s\\n' \"${look.id}\" | sed -n 's/^time \\([0-9]*\\).*/\\1/p')",
        "fi",
        f"epoch=${{epoch:-{DEFAULT_EPOCH}}}",
        f"if [ -e {lock} ] && ! printf '%s\\n' \"${look.id}\" | sed -n 's/^package installed //p' | LC_ALL=C sort |",
        f"  {{ grep -Ev '^(#|$)' {lock} | LC_ALL=C sort | diff - /dev/fd/3 >&2; }} 3<&0; then",
        f"  say {shlex.quote(f'these packages are not those of {lock_path(plan.profile).name}')}",
        "  exit 2",
        "fi",
    ]
