"""Which of xdist's workers runs which files: at first few, whose tests build and boot, then all of them the light rest.

Guests that share a core only make each other slow, and light tests with limits of time do not mix with them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # it has no stubs

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

LIGHT = ("tests/release/", "tests/unit/")
"""What neither builds nor boots, at the end of the tree's order: stores and registries are waited for."""
HEAVY_LANES = "METALLIZE_HEAVY_LANES"


class Lanes(LoadFileScheduling):  # type: ignore[misc]
    """xdist's own distribution by files, with workers that wait until only light files are left."""

    def mark_test_complete(self, node: WorkerController, item_index: int, duration: float = 0) -> None:
        super().mark_test_complete(node, item_index, duration)
        for other in self.nodes:
            if not self._pending_of(self.assigned_work[other]):
                self._reschedule(other)

    def _reschedule(self, node: WorkerController) -> None:
        if self._may_take(node):
            super()._reschedule(node)

    def _assign_work_unit(self, node: WorkerController) -> None:
        if self._may_take(node):
            super()._assign_work_unit(node)

    def _may_take(self, node: WorkerController) -> bool:
        """Whether the next file is for this worker, or there is none and it may end."""
        following = next(iter(self.workqueue), LIGHT[-1])
        return following.startswith(LIGHT) or node in self.nodes[: int(os.environ.get(HEAVY_LANES) or self.numnodes)]
