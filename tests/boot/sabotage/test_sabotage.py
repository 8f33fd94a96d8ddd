"""Every way to break an image is named: the verdict, the stage, the cause, and within seconds of what decided."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from metallize.model.report import BootReport, Stage
from metallize.report.text import report_lines
from tests.boot.sabotage import before_linux, endings, kernel, logins, network, userspace
from tests.boot.sabotage.recipe import Recipe, misjudgements, run_recipe, seconds_to_the_verdict

pytestmark = [pytest.mark.docker, pytest.mark.boot]

RECIPES: tuple[Recipe, ...] = (
    *before_linux.RECIPES,
    *kernel.RECIPES,
    *userspace.RECIPES,
    *logins.RECIPES,
    *network.RECIPES,
    *endings.RECIPES,
)


@pytest.fixture(scope="session")
def boot(
    request: pytest.FixtureRequest, disk: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Recipe], BootReport]]:
    """A recipe's report. Each guest has one CPU, so that as many boot at once as the host has.

    Those that this run will ask for are begun ahead, in its order; where the tests are dealt out to several processes
    (pytest-xdist) nobody knows which these are, and each is begun when it is asked for.
    """
    begun: dict[str, Future[BootReport]] = {}
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:

        def begin(recipe: Recipe) -> Future[BootReport]:
            image = disk if recipe.cd is None else request.getfixturevalue("cd")
            folder = tmp_path_factory.mktemp(recipe.name)
            return begun.setdefault(recipe.name, pool.submit(run_recipe, recipe, image=image, folder=folder))

        if "PYTEST_XDIST_WORKER" not in os.environ:
            for item in request.session.items:
                wanted = item.callspec.params.get("recipe") if hasattr(item, "callspec") else None
                if isinstance(wanted, Recipe):
                    begin(wanted)
        yield lambda recipe: (begun.get(recipe.name) or begin(recipe)).result()
        for future in begun.values():
            future.cancel()


@pytest.mark.parametrize(
    "recipe",
    [pytest.param(each, id=each.name, marks=() if each.cheap else pytest.mark.nightly) for each in RECIPES],
)
def test_sabotage(recipe: Recipe, boot: Callable[[Recipe], BootReport]) -> None:
    report = boot(recipe)
    late = seconds_to_the_verdict(report)
    summary = f"{recipe.name}: {report.verdict} after {report.seconds:.1f} s, {late:.1f} s after what decided"
    sys.stdout.write("\n".join([summary, *report_lines(report), ""]))
    assert misjudgements(recipe, report) == []


def test_the_set_is_large_and_no_recipe_is_there_twice() -> None:
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES) >= 110


def test_what_is_tried_with_every_change_breaks_each_part_of_a_boot() -> None:
    cheap = [recipe for recipe in RECIPES if recipe.cheap]
    stages = {expected.stage for recipe in cheap for expected in recipe.expected}
    assert stages >= {Stage.FIRMWARE, Stage.LOADER, Stage.INITRD, Stage.KERNEL, Stage.USERSPACE, Stage.READY}
    assert any(not recipe.expected for recipe in cheap)
    assert not any(recipe.cd for recipe in cheap)
