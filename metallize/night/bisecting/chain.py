"""What lies between two images of a profile, as a chain of changes that are undone one by one. Pure.

Cut 0 is the image that got worse, and the last cut is the last good one; at cut N the first N changes of the chain are
undone. The lowest comes first: an image in between stands on layers of the last good one that the engine still has,
with the layers of today's plan above them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from metallize.build.currency import inputs_in, inputs_of
from metallize.build.plan import BuildPlan, ImageStack, LayerBuild
from metallize.build.step import digest_of, pin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A layer of an image that was made: its definition's key, and the image that it became."""

    name: str
    key: str
    digest: str
    repository: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """What an image was made of, as its manifest has it."""

    base: str
    """What it is called; empty without one."""
    base_digest: str
    layers: tuple[Layer, ...]
    tools: str
    """The digest of its generator's."""
    inputs: str
    """Digest of all that it was made from (build.currency)."""
    epoch: int

    @property
    def top(self) -> str:
        """The digest of the whole rootfs."""
        return self.layers[-1].digest if self.layers else self.base_digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that is otherwise, and what the image stands on once it and all below it is undone."""

    what: str
    """In words: layer app.dockerfile, which is another."""
    old: int
    """So many layers of the last good image, from the bottom."""
    new: int
    """Above them those of today's plan from this one on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """All that is otherwise, the lowest first."""

    before: Stack
    """Of the last good image."""
    changes: tuple[Change, ...]
    anew: bool
    """Layers were built anew that say what they said: those above a cut are built anew, too."""


_REST = "no layer: the generator, its options, or the unit that a CMD makes, which are others"


def stack_of(manifest: Mapping[str, Any]) -> Stack | None:
    """None where the manifest tells of no stack: the image was made by other means, or by another metallize."""
    try:
        layers = tuple(
            Layer(
                name=str(each["name"]), key=str(each["key"]), digest=str(each["digest"]),
                repository=str(each["tag"]).rpartition(":")[0],
            )
            for each in manifest["layers"]
        )  # fmt: skip
        return Stack(
            base=str(manifest["base"]["reference"] or ""),
            base_digest=str(manifest["base"]["digest"] or ""),
            layers=layers,
            tools=str(manifest["generator"]["digest"]),
            inputs=inputs_in(manifest),
            epoch=int(manifest["source_date_epoch"]),
        )
    except (LookupError, TypeError, ValueError):
        return None


def chain_of(before: Stack, after: Stack, plan: BuildPlan, *, fresh: bool = False) -> Chain:
    """What is otherwise in an image, that this plan makes, than in the one before.

    `fresh`: it was built with no cache, so that a layer is another that says what it said.
    """
    anew = fresh or _built_anew(before, after)
    changes: list[Change] = []
    if before.base_digest != after.base_digest:
        name = after.base if before.base == after.base else f"{before.base or 'none'} to {after.base or 'none'}"
        changes.append(Change(what=f"the base image: {name}", old=0, new=0))
    for old, new, what in _walk(before.layers, after.layers, anew=anew):
        if what:
            changes.append(Change(what=f"layer {what}", old=old, new=new))
    whole = (len(before.layers), len(after.layers))
    if inputs_of(plan, before.top, after.tools, before.epoch) != before.inputs:
        changes.append(Change(what=_REST, old=whole[0], new=whole[1]))
    return Chain(before=before, changes=tuple(changes), anew=anew)


def _walk(before: Sequence[Layer], after: Sequence[Layer], *, anew: bool) -> Iterator[tuple[int, int, str]]:
    """Each step from today's stack to the one before: how far both are then, and what it undoes, if anything."""
    names = SequenceMatcher(None, [each.name for each in before], [each.name for each in after], autojunk=False)
    for kind, first_old, old_end, first_new, new_end in names.get_opcodes():
        old, new = first_old, first_new
        while old < old_end and new < new_end:
            there, here = before[old], after[new]
            old, new = old + 1, new + 1
            if kind == "replace":
                yield old, new, f"{here.name}, which is in the place of {there.name}"
            elif here.key != there.key:
                yield old, new, f"{here.name}, which is another"
            else:
                yield old, new, f"{here.name}, which was built anew" if anew and here.digest != there.digest else ""
        while new < new_end:
            new += 1
            yield old, new, f"{after[new - 1].name}, which is new"
        while old < old_end:
            old += 1
            yield old, new, f"{before[old - 1].name}, which is gone"


def _built_anew(before: Stack, after: Stack) -> bool:
    """Whether the lowest layer that became another image says what it said, on the same base."""
    if before.base_digest != after.base_digest:
        return False
    pairs = zip(before.layers, after.layers, strict=False)
    first = next(((old, new) for old, new in pairs if old.digest != new.digest), None)
    return first is not None and first[0].key == first[1].key


def plan_at(plan: BuildPlan, chain: Chain, cut: int) -> BuildPlan:
    """The plan of the image at a cut, which is none of the ends."""
    change, before = chain.changes[cut - 1], chain.before
    rootfs = plan.rootfs
    base = rootfs.base
    if base is not None:
        # By a name that stays with that image: what it is called may mean another by now.
        base = replace(base, reference=pin_of(before.base_digest), snapshot="", sources=())
    ground = base if rootfs.ground == rootfs.base else rootfs.ground
    taken = [_taken(layer, plan) for layer in before.layers[: change.old]]
    if taken and base is None and ground is not None:
        taken[0] = replace(taken[0], foreign=(ground,))  # what the seal compares the rootfs with
    built = [replace(layer, anew=chain.anew) for layer in rootfs.layers[change.new :]]
    identity = digest_of("cut", plan.id, *(layer.taken for layer in taken), str(change.new))
    stack = ImageStack(base=base, layers=(*taken, *built), platform=rootfs.platform, ground=ground)
    return replace(plan, id=identity, rootfs=stack)


def _taken(layer: Layer, plan: BuildPlan) -> LayerBuild:
    """A layer of the last good image, as it was: its dockerfile is not asked."""
    return LayerBuild(
        name=layer.name,
        summary="as it was",
        dockerfile=plan.base_recipe,
        context=plan.base_recipe.parent,
        build_args={},
        repository=layer.repository,
        key=layer.key,
        taken=layer.digest,
    )
