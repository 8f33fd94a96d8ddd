"""A bash that has read the set-up, in an empty folder."""

from __future__ import annotations

import os
import shlex
from datetime import timedelta
from pathlib import Path

from metallize.command import Finished, run

ROOT = Path(__file__).resolve().parents[3]
LIMIT = timedelta(seconds=60)


class Bash:
    """Runs bash with setup.sh sourced and tools replaced; `log` is what they were called with."""

    def __init__(self, folder: Path) -> None:
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.log_file = folder / "log"
        self.log_file.touch()
        self.env: dict[str, str] = {
            "LOG": str(self.log_file),
            "METALLIZE_VENV": str(folder / "v env"),
            "METALLIZE_SKIP_SETUP": "",  # whoever runs the tests may have set it
        }

    def tool(self, name: str, body: str = "") -> None:
        """Put a stand-in first on PATH: it notes its arguments, then runs `body`."""
        file = self.tools / name
        file.write_text(f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >>"$LOG"\n{body}\n')
        file.chmod(0o755)

    def __call__(self, script: str) -> Finished:
        preamble = f"set -euo pipefail\n. {shlex.quote(str(ROOT / 'scripts/lib/setup.sh'))}\n"
        env = {**self.env, "PATH": f"{self.tools}:{os.environ['PATH']}"}
        return run(["bash", "-c", preamble + script, "bash"], check=False, env=env, timeout=LIMIT)

    @property
    def log(self) -> list[str]:
        return self.log_file.read_text().splitlines()


ROOT_USER = 'id() { case "$1" in -u) echo 0 ;; -un | -gn) echo root ;; esac; }\n'
PLAIN_USER = (
    'id() { case "$1" in -u) echo 1000 ;; -un) echo ann ;; -gn) echo staff ;; -nG) echo staff $GROUPS_OF ;; esac; }\n'
)


def lacking(*names: str) -> str:
    """Make `has` deny these commands, and admit every other one."""
    return f'has() {{ case "$1" in {"|".join(names)}) return 1 ;; esac; }}\n' if names else "has() { :; }\n"
