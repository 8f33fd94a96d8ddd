"""A profile of the original format, with an extension, and the original's way to boot it."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from pathlib import Path

import pexpect
import pytest

from tests.conftest import ROOT, Cli

pytestmark = [pytest.mark.docker, pytest.mark.boot]
LIMIT = timedelta(minutes=6)


@pytest.fixture(scope="module")
def image(cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    shutil.copytree(ROOT / "tests" / "boot" / "original_format", folder, dirs_exist_ok=True)
    done = cli("build", "livecd.yaml", "--extensions-dir", "extension", cwd=folder)
    assert done.status == 0
    return folder / "build" / "livecd.iso"


@pytest.mark.nightly
@pytest.mark.parametrize("script", ["uefi-boot.sh", "legacy-boot.sh"])
def test_the_extension_names_the_host(script: str, image: Path) -> None:
    child = pexpect.spawn(
        str(ROOT / "scripts" / script),
        [str(image)],
        env={"PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(image.parent),
             "METALLIZE_PYTHON": sys.executable, "TERM": "dumb",
             # QEMU's emulated CPUs run out of step now and then; verify boots such a guest again, a terminal does not.
             "METALLIZE_CPUS": "1"},
        timeout=LIMIT.total_seconds(),
        encoding="utf-8",
        codec_errors="replace",
        logfile=sys.stdout,
    )  # fmt: skip
    try:
        child.expect("test-host login:")
    finally:
        child.close(force=True)
    assert not child.isalive()
