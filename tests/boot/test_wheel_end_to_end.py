"""The wheel alone: a user's own profile and layer, as README.md shows them, built and verified in a far folder."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from metallize.command import run
from tests.conftest import ROOT
from tests.documents import files, section

pytestmark = [pytest.mark.docker, pytest.mark.boot]
LIMIT = timedelta(minutes=20)


def test_the_readmes_own_layer_is_built_and_verified(installed: Path, tmp_path: Path) -> None:
    assert not tmp_path.is_relative_to(ROOT)
    folder = tmp_path / "hello"
    folder.mkdir()
    for name, content in files(section("README.md", "Your own layer, in your own folder")).items():
        (folder / name).write_text(content)
    build_dir = tmp_path / "out"
    argv: list[str | Path] = [installed / "bin/metallize", "build", "hello.yaml", "--verify", "--build-dir", build_dir]
    done = run(argv, cwd=folder, check=False, timeout=LIMIT)
    assert done.status == 0, done.stderr
    assert done.stdout.strip() == str(build_dir / "hello.iso")
    assert sorted(path.name for path in folder.iterdir()) == ["hello.yaml", "motd.dockerfile"]
    record = json.loads((build_dir / "hello.iso.verification.json").read_text())
    assert record["verdict"] == "passed"
    [report] = record["machines"]
    assert report["machine"] == "seabios"
    [greeting] = (result for result in report["results"] if "/etc/motd" in result["title"])
    assert (greeting["kind"], greeting["status"]) == ("file", "held")
    manifest = json.loads((build_dir / "hello.iso.manifest.json").read_text())
    assert [layer["name"] for layer in manifest["layers"]][-1] == "motd.dockerfile"
    assert str(ROOT) not in json.dumps([record, manifest]), "nothing of the checkout is used"
    publish = [*argv[:1], "publish", "hello.yaml", "--build-dir", build_dir, "--to", tmp_path / "shipped"]
    assert run(publish, cwd=folder, check=False).status == 0
    assert (tmp_path / "shipped/hello.iso").read_bytes() == (build_dir / "hello.iso").read_bytes()
    with (folder / "hello.yaml").open("a") as profile:
        profile.write("  reboot: true\n")
    refused = run(publish, cwd=folder, check=False)
    assert refused.status == 1
    assert "has changed since it was verified" in refused.stderr
