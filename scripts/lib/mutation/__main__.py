"""The command: scripts/mutate has its description."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SURVIVORS = ROOT / "tests" / "mutation" / "survivors.yaml"
_ONCE = ("hypothesis", "pydantic", "docker", "paramiko", "pexpect", "yaml", "rich", "re2", "qemu.qmp")
"""What takes long to import and is none of the mutated: imported before the first fork."""


def main() -> int:
    # Hypothesis takes the same examples in every run where it believes itself in CI.
    os.environ["CI"] = "true"
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "generators/common")]
    for name in _ONCE:
        importlib.import_module(name)
    from mutation.running import TestsFailError, run_target  # noqa: PLC0415 - pytest comes after the environment
    from mutation.survivors import complaints, read_explained, yaml_of  # noqa: PLC0415
    from mutation.targets import TARGETS  # noqa: PLC0415 - as above

    names = {target.module.removeprefix("metallize."): target for target in TARGETS}
    options = argparse.ArgumentParser(prog="scripts/mutate")
    options.add_argument("module", nargs="*", choices=[*names, []])
    options.add_argument("--list", type=Path)
    chosen = options.parse_args()
    explained = read_explained(SURVIVORS)
    outcomes = []
    for name in chosen.module or names:
        began = time.monotonic()
        try:
            outcome = run_target(names[name], ROOT)
        except TestsFailError as exc:
            sys.exit(f"error: {exc}")
        killed = len(outcome.mutants) - len(outcome.survivors)
        print(
            f"{name}: {outcome.score:.1f} %, {killed} of {len(outcome.mutants)} mutants killed,"
            f" in {time.monotonic() - began:.0f} s",
            flush=True,
        )
        outcomes.append(outcome)
    if chosen.list:
        chosen.list.write_text(yaml_of(outcomes, explained))
    wrong = complaints(outcomes, explained)
    for complaint in wrong:
        print(complaint, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
