"""What live-boot's own log says of a download that failed, as it was collected at the initrd's prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from metallize.model.report import Finding, Severity, Stage
from metallize.verify.why.download import RULE, with_download

FAILURE = Finding(rule=RULE, stage=Stage.INITRD, severity=Severity.FATAL, cause="no squashfs", remedy="look", line="x")
LOG = """\
$ cat /boot.log
Begin: Trying wget http://10.0.2.2:44183/filesystem.squashfs -O /run/live/medium/live/filesystem.squashfs ... \
Connecting to 10.0.2.2:44183 (10.0.2.2:44183)
wget: {why}

$ cat /proc/cmdline
"""


@pytest.mark.parametrize(
    "why",
    [
        "server returned error: HTTP/1.1 404 no such file: filesystem.squashfs",
        "can't connect to remote host (10.0.2.2): Connection refused",
    ],
)
def test_the_log_tells_why_nothing_came(tmp_path: Path, why: str) -> None:
    (tmp_path / "initramfs.txt").write_text(LOG.format(why=why))
    told = with_download(FAILURE, tmp_path)
    assert told.cause == f"the initrd could not fetch the root filesystem: {why}"
    assert told.line == f"wget: {why}"


def test_what_the_log_does_not_tell_stays_as_it_is(tmp_path: Path) -> None:
    assert with_download(FAILURE, tmp_path) is FAILURE
    (tmp_path / "initramfs.txt").write_text("$ cat /boot.log\nBegin: Mounting root file system\n")
    assert with_download(FAILURE, tmp_path) is FAILURE
    other = replace(FAILURE, rule="initrd-shell")
    (tmp_path / "initramfs.txt").write_text(LOG.format(why="x"))
    assert with_download(other, tmp_path) is other
