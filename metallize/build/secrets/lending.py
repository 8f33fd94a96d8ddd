"""Which layers are lent what is given, and what nobody gives or nobody takes: said before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from metallize.build.dockerfile.secret_mounts import DEFAULT_SSH, Kind, Loan
from metallize.build.plan import BuildPlan, LayerBuild
from metallize.build.secrets.given import EXAMPLES, Given
from metallize.errors import Location, Problem, ProfileError, UsageError


def with_given(plan: BuildPlan, given: Sequence[Given]) -> BuildPlan:
    """The plan with each layer lent what it mounts. Raises ProfileError for what has to be there and nobody gave."""
    problems: list[Problem] = []
    remarks: list[str] = []
    layers: list[LayerBuild] = []
    for layer in plan.rootfs.layers:
        for loan in _missing(layer, given):
            example = EXAMPLES[loan.kind].replace("token", loan.id).replace(DEFAULT_SSH, loan.id).partition(", or")[0]
            if loan.required:
                place = Location(path=layer.dockerfile, line=loan.line, column=1)
                message = f"layer {layer.name} needs the {_called(loan)}, and nobody gave it"
                idle = [each.id for each in unused([plan], given) if each.kind is loan.kind]
                instead = f"; no layer mounts `{'`, `'.join(idle)}`, which is given" if idle else ""
                problems.append(Problem(location=place, message=message, hint=f"give it: {example}{instead}"))
            else:
                remarks.append(
                    f"{layer.name}:{loan.line}: RUN goes without the {_called(loan)}, which nobody gave ({example})."
                )
        lent = tuple(each for each in given if _mounts(layer, each))
        layers.append(replace(layer, lent=lent))
    if problems:
        raise ProfileError(problems)
    stack = replace(plan.rootfs, layers=tuple(layers))
    return replace(plan, rootfs=stack, remarks=(*plan.remarks, *dict.fromkeys(remarks)))


def _called(loan: Loan) -> str:
    return f"secret `{loan.id}`" if loan.kind is Kind.SECRET else f"SSH agent `{loan.id}`"


def _missing(layer: LayerBuild, given: Sequence[Given]) -> Iterator[Loan]:
    """What it mounts by a name that nobody gave, each name once."""
    there = {(each.kind, each.id) for each in given}
    named = sorted((loan for loan in layer.loans if loan.id), key=lambda loan: (not loan.required, loan.line))
    for loan in named:
        if (loan.kind, loan.id) not in there:
            there.add((loan.kind, loan.id))
            yield loan


def _mounts(layer: LayerBuild, given: Given) -> bool:
    return any(loan.kind is given.kind and loan.id in ("", given.id) for loan in layer.loans)


def unused(plans: Iterable[BuildPlan], given: Sequence[Given]) -> tuple[Given, ...]:
    """What no layer of any of these plans mounts."""
    layers = [layer for plan in plans for layer in plan.rootfs.layers]
    return tuple(each for each in given if not any(_mounts(layer, each) for layer in layers))


def require_used(plans: Sequence[BuildPlan], given: Sequence[Given]) -> None:
    """Raises UsageError for what is given and no layer mounts: it is hardly meant so."""
    for each in unused(plans, given):
        loans = [loan for plan in plans for layer in plan.rootfs.layers for loan in layer.loans]
        known = sorted({loan.id for loan in loans if loan.kind is each.kind and loan.id})
        mounted = f"the layers mount {', '.join(known)}" if known else f"RUN --mount=type={each.kind},id={each.id} does"
        raise UsageError(f"--{each.kind} {each.word}: no layer mounts `{each.id}`", hint=mounted)
