"""`metallize init`: what it writes loads, what it cannot carry over is told, and nothing of a person's is lost."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from metallize.build.app import AppLayer, container_of
from metallize.build.dockerfile import parse
from metallize.build.plan import SOURCE_ARGUMENT
from metallize.catalog import Catalog
from metallize.config import load_profile
from metallize.model.loaded import Profile
from metallize.model.profile import Platform
from metallize.pipeline import Options, plan_of
from metallize.starting.bases import base_for

from .conftest import Call

APP = """\
FROM debian:bookworm-slim
RUN useradd --system web
COPY page.html /srv/
USER web
ENV EXTRA=8443
EXPOSE 80 53/udp $EXTRA
HEALTHCHECK --timeout=5s CMD ["/bin/ask", "it's"]
CMD ["/srv/serve"]
"""


def app(text: str = APP, folder: str = "my app") -> Path:
    """An application of a person's own, in a folder of its own."""
    path = Path(folder)
    path.mkdir(exist_ok=True)
    (path / "page.html").touch()
    (path / "Dockerfile").write_text(text)
    return path / "Dockerfile"


def loaded(path: str) -> Profile:
    """The profile, read and planned as a build would."""
    catalog = Catalog()
    profile = load_profile(Path(path), vocabulary=catalog.vocabulary())
    plan_of(profile, catalog, Options())
    return profile


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["disk", "vm", "livecd"])
@pytest.mark.parametrize("base", ["debian:trixie", "debian:12", "ubuntu:24.04", "ubuntu:20.04"])
def test_every_kind_on_every_base_loads_and_plans(call: Call, kind: str, base: str) -> None:
    said = call("init", "--kind", kind, "--base", base, "--name", "web", "a, b")
    assert (said.status, said.err) == (0, "")
    assert said.out.endswith("next: cd 'a, b' && metallize build web.yaml --verify\n")
    profile = loaded("a, b/web.yaml")
    assert profile.images[0] == base
    assert "web.dockerfile" in profile.images
    assert any(each.resource == "/etc/motd" for each in profile.assertions)
    assert Path("a, b/.metallize/profile.schema.json").is_file()
    assert yaml.safe_load(Path("a, b/.github/workflows/web-image.yml").read_text())["jobs"]


def test_with_no_word_at_all_it_takes_this_folder(call: Call) -> None:
    assert call("init").status == 0
    assert Path("folder.yaml").is_file()
    again = call("init")
    assert again.status == 0
    assert "unchanged folder.yaml" in again.out
    assert "wrote" not in again.out


def test_an_untouched_dockerfile_becomes_a_layer(call: Call) -> None:
    path = app()
    said = call("init", "--dockerfile", path, "--watchdog", "--ci", "gitlab")
    assert said.status == 0
    assert path.read_text() == APP
    profile = loaded("os/my-app.yaml")
    assert profile.images[0] == "debian:bookworm-slim"
    assert profile.output.app.watchdog
    layer = Path("os/my-app.dockerfile").read_text()
    assert layer.endswith(
        APP.replace("FROM debian:bookworm-slim", f"ARG {SOURCE_ARGUMENT}\nFROM ${{{SOURCE_ARGUMENT}}}")
    )
    assert profile.contexts[5].resolve() == path.parent.resolve()
    assert profile.boot is not None
    assert list(profile.boot.reach) == ["tcp:80", "tcp:8443"]
    asserted = {(each.kind, each.resource) for each in profile.assertions}
    assert {("service", "my-app"), ("port", "tcp:80"), ("command", "my-app is healthy")} <= asserted
    [check] = [each.options for each in profile.assertions if each.resource == "my-app is healthy"]
    assert vars(check)["command"] == "runuser -u web -- env EXTRA=8443 /bin/ask 'it'\"'\"'s'"
    assert "Dockerfile:6: EXPOSE 53/udp is asserted by nothing." in said.err
    assert yaml.safe_load(Path("os/.gitlab-ci.yml").read_text())["os-image"]["script"]


def test_what_is_hardly_meant_as_it_is_written_is_told(call: Call) -> None:
    said = call("init", "--dockerfile", app('FROM debian:trixie\nCMD ["shop",]\n'), "--name", "web", "--ci", "none")
    assert said.status == 0
    assert 'note: Dockerfile:2: CMD ["shop",] is no JSON, so a shell is given the whole of it as a command' in said.err


def test_the_dockerfile_of_a_checkout_leaves_its_images_out(call: Call) -> None:
    Path(".git").mkdir()
    app(folder=".")
    Path(".dockerignore").write_text("*.log\n!keep.log\n")
    assert call("init", "--dockerfile", ".", "--name", "web", "deep/os").status == 0
    lines = Path("deep/os/web.dockerfile.dockerignore").read_text().splitlines()
    assert lines[1:3] == ["*.log", "!keep.log"]
    assert {"deep/os/build", "deep/os/web.yaml", ".github/workflows/web-image.yml"} <= set(lines)
    workflow = yaml.safe_load(Path(".github/workflows/web-image.yml").read_text())
    assert workflow["jobs"]["image"]["defaults"]["run"]["working-directory"] == "deep/os"


def test_directives_stages_and_continuations_are_kept(call: Call) -> None:
    text = (
        "# syntax=example/frontend:1\n# escape=`\n# About.\nARG TAG=trixie\n\nFROM golang:1 AS build\nARG WHO\n"
        "FROM --platform=linux/amd64 `\n  debian:${TAG} AS Below\nENV A=1\nFROM below\n"
        "COPY --from=build /x /x\nCMD /x\n"
    )
    said = call("init", "--dockerfile", app(text), "--name", "web", "--ci", "none")
    assert said.status == 0
    assert Path("os/web.dockerfile").read_text().splitlines() == [
        "# syntax=example/frontend:1",
        "# escape=`",
        "# web: the app of ../my app/Dockerfile, its last stage standing on the layers below.",
        "#",
        Path("os/web.dockerfile").read_text().splitlines()[4],
        "# About.",
        "ARG METALLIZE_SRC_IMG",
        "ARG TAG=trixie",
        "",
        "FROM golang:1 AS build",
        "ARG WHO",
        "FROM ${METALLIZE_SRC_IMG} AS below",
        "ENV A=1",
        "FROM below",
        "COPY --from=build /x /x",
        "CMD /x",
    ]
    assert loaded("os/web.yaml").images[0] == "debian:trixie"
    for told in (
        "Dockerfile:8: --platform=linux/amd64 is left out",
        "Dockerfile:6: a registry has to give golang:1",
        "Dockerfile:7: ARG WHO has no value",
    ):
        assert told in said.err
    made = AppLayer(name="web", dockerfile=parse(Path("os/web.dockerfile").read_text()), build_args={})
    assert dict(container_of([made], Platform.AMD64).environment) == {"A": "1"}


@pytest.mark.parametrize(
    ("reference", "base", "told"),
    [
        ("debian:trixie@sha256:" + "a" * 64, "debian:trixie@sha256:" + "a" * 64, ""),
        ("ubuntu:24.04", "ubuntu:24.04", ""),
        ("debian:11", "debian:trixie", "there are no layers for debian:11"),
        ("alpine:3.20", "debian:trixie", "it has to install from Debian's packages"),
        ("node:22-alpine", "debian:trixie", "it has to install from Debian's packages"),
        ("gcr.example/distroless/static", "debian:trixie", "is no Debian or Ubuntu"),
        ("scratch", "debian:trixie", "scratch is no Debian or Ubuntu: the app now stands on debian:trixie; --base"),
        ("python:3.12-slim", "python:3.12-slim", "the layers need a Debian or Ubuntu in it"),
    ],
)
def test_what_an_app_stands_on(reference: str, base: str, told: str) -> None:
    found = base_for(reference, ("debian:12", "debian:13", "ubuntu:24.04"))
    assert found.reference == base
    assert told in found.note
    assert bool(found.note) is bool(told)


def test_another_systems_package_tool_is_told_with_its_line(call: Call) -> None:
    said = call("init", "--dockerfile", app('FROM alpine:3\nRUN apk add curl\nCMD ["curl"]\n'), "--name", "web")
    assert said.status == 0
    assert "Dockerfile:2: `apk` is not there: the line has to use apt-get in the layer." in said.err
    assert loaded("os/web.yaml").images[0] == "debian:trixie"


def test_a_base_of_ones_own(call: Call) -> None:
    said = call(
        "init", "--dockerfile", app("ARG BASE\nFROM $BASE\nCMD /x\n"), "--base", "ubuntu:24.04", "--name", "web"
    )
    assert (said.status, said.err) == (0, "")
    assert loaded("os/web.yaml").images[:2] == ("ubuntu:24.04", "ubuntu-disk.dockerfile")


@pytest.mark.parametrize(
    ("words", "text", "told"),
    [
        (["--dockerfile", "gone"], APP, "gone: No such file or directory"),
        (["--dockerfile", "/dev/zero", "--name", "web"], APP, "/dev/zero is no file"),
        (["--dockerfile", "my app"], "RUN x\n", "my app/Dockerfile has no FROM"),
        (["--dockerfile", "my app"], "ARG B\nFROM $B\n", ":2: `FROM $B`: only a build argument names that image"),
        (["--dockerfile", "my app"], "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n", "is a layer already"),
        (["--dockerfile", "my app", "--watchdog"], "FROM debian:13\nCMD /x\n", "--watchdog asks what HEALTHCHECK says"),
        (["--dockerfile", "my app", "--context", "gone"], APP, "--context gone: there is no such folder"),
        (["--watchdog"], APP, "--watchdog asks what HEALTHCHECK says"),
        (["--context", "."], APP, "--context goes with --dockerfile"),
        (["--name", "My App"], APP, "`My App` is no name"),
        (["--name", "../x"], APP, "`../x` is no name"),
        (["--base", "Debian"], APP, "--base Debian: it is no image reference"),
        (["--kind", "diks"], APP, "invalid choice: 'diks'"),
        (["my app/Dockerfile"], APP, "is a file"),
    ],
)
def test_what_cannot_be_begun_writes_nothing(call: Call, words: list[str], text: str, told: str) -> None:
    app(text)
    before = sorted(Path().rglob("*"))
    said = call("init", *words)
    assert said.status == 2
    assert told in said.err
    assert sorted(Path().rglob("*")) == before


def test_files_that_do_not_come_along_are_told(call: Call) -> None:
    path = app("FROM debian:13\nCOPY page.html src/ gone*.txt /x/\nCMD /x\n")
    assert (
        "Dockerfile:2: `src/` is not in my app: --context names"
        in call("init", "--dockerfile", path, "--name", "w").err
    )
    Path("src").mkdir()
    shutil.move("my app/page.html", "page.html")
    assert call("init", "--dockerfile", path, "--context", ".", "--name", "w", "os2").err == ""


def test_nothing_of_a_persons_is_written_over(call: Call) -> None:
    path = app()
    Path("os").mkdir()
    Path("os/assertions.yaml").write_text("mine: 1\n")
    Path("os/web.yaml").symlink_to("gone.yaml")
    words = ("init", "--dockerfile", path, "--name", "web", "--ci", "none")
    said = call(*words)
    assert (
        "kept os/assertions.yaml; it is there already, and says something else: remove it to have it anew" in said.out
    )
    assert "kept os/web.yaml" in said.out
    assert Path("os/assertions.yaml").read_text() == "mine: 1\n"
    assert Path("os/web.yaml").is_symlink()
    assert not Path("os/gone.yaml").exists()


@pytest.mark.slow
def test_a_layer_follows_its_dockerfile_until_it_is_changed_by_hand(call: Call) -> None:
    path, layer = app(), Path("os/web.dockerfile")
    words = ("init", "--dockerfile", path, "--name", "web", "--ci", "none")
    assert call(*words).status == 0
    path.write_text(f"# syntax=docker/dockerfile:1\n{APP.replace('serve', 'server')}")
    assert "renewed os/web.dockerfile" in call(*words).out
    assert '"/srv/server"' in layer.read_text()
    path.write_text(APP)
    assert "renewed os/web.dockerfile" in call(*words).out
    layer.write_text(layer.read_text().replace("/srv/serve", "/srv/mine"))
    path.write_text(APP.replace("web", "www"))
    assert "kept os/web.dockerfile" in call(*words).out
    assert "/srv/mine" in layer.read_text()


def test_a_dockerfile_that_lies_about_is_told_of(call: Call) -> None:
    app(folder=".")
    assert "`metallize init --dockerfile Dockerfile` makes an image of its app" in call("init").err


def test_the_schemas_are_written_where_they_are_wanted(call: Call) -> None:
    said = call("schema", "--write")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines()[0] == ".metallize/profile.schema.json"
    assert call("schema", "--write", "other").out.splitlines()[0] == "other/profile.schema.json"
    Path("file").touch()
    said = call("schema", "--write", "file")
    assert (said.status, said.err) == (3, "error: --write file: File exists\n  next: name a folder to write to\n")


@pytest.mark.slow
def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    (tmp_path / "page.html").touch()
    (tmp_path / "Dockerfile").write_text(APP)
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-m", "metallize", "init"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, b"\n\nweb\nvmm\nlivecd\nyes\nnone\n")
    told = b""
    while True:
        try:
            told += os.read(ours, 4096)
        except OSError:  # the terminal's other end is closed
            break
    assert started.wait(timeout=60) == 0, told
    os.close(ours)
    text = told.decode()
    assert "dockerfile: there is one here, make an image of its app (yes, no) [yes]: " in text
    assert "`vmm` is none of them: did you mean `vm`?" in text
    assert loaded(str(tmp_path / "os/web.yaml")).output.file == "web.iso"
    assert loaded(str(tmp_path / "os/web.yaml")).output.app.watchdog


@pytest.mark.slow
def test_a_terminal_that_closes_leaves_nothing(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-m", "metallize", "init"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, b"\x04")
    assert started.wait(timeout=60) == 2
    os.close(ours)
    assert list(tmp_path.iterdir()) == []
