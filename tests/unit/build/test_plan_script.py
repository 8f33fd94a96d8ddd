"""The printed plan: a script that parses, that shellcheck likes, and that no value can break out of."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from metallize.build.engines.engine import Assembly
from metallize.build.epoch import LATEST
from metallize.build.making import Making
from metallize.build.notes import shortfalls
from metallize.build.packages.lock import lock_path
from metallize.build.plan import BuildPlan
from metallize.build.script import shell_script
from metallize.build.sources import LayerSource, read_layer
from metallize.build.steps import steps_of
from metallize.build.store import Store
from metallize.command import run
from metallize.errors import MetallizeError
from metallize.model.catalogue import Layer
from metallize.model.profile import Platform

from .conftest import GENERATOR, ON_SOURCE, FakeEngine, Layers, MakePlan, Recorder, image, profile

HOSTILE = [
    "plain",
    "two words",
    "'single'",
    '"double"',
    "$(touch HARMED)",
    "`touch HARMED`",
    "; touch HARMED",
    "&& touch HARMED",
    "| touch HARMED",
    "line\ntouch HARMED",
    "\\",
    "$HOME ${IFS}",
    "*",
    "~",
    "-e",
    "#",
    "ünïcode",
    "",
]
FAKE = r"""#!/bin/sh
# A docker that writes down its arguments and answers as one that has nothing yet.
printf '%s\0' "$@" >>"$RECORD"
printf '\n' >>"$RECORD"
case "$1 $2" in
  'buildx version') exit 0 ;;
  'image inspect')
    grep -qxF -e "$5" "$RECORD.images" 2>/dev/null || exit 1
    case "$4" in *Architecture*) echo linux/amd64; exit 0 ;; *OnBuild*) echo 0; exit 0 ;; esac
    echo "sha256:$5" ;;
  'tag '*) echo "$3" >>"$RECORD.images" ;;
  'pull '*) shift 3; printf '%s\nsha256:%s\n' "$1" "$1" >>"$RECORD.images" ;;
  'build '*) for tag do [ "${before-}" != --tag ] || echo "$tag" >>"$RECORD.images"; before=$tag; done ;;
  'run --rm')
    case " $* " in *' --entrypoint '*)
      printf '%s\n' 'time 1700000000.5' 'package config-files old 1 all' 'package installed bash 5 amd64'
      exit 0 ;;
    esac
    while [ "$1" != --mount ]; do shift; done
    out=$(printf %s "${2#*\"source=}" | sed 's/"$//; s/""/"/g')
    cat <"$out/.rootfs" >/dev/null & sleep 0.1; rm "$out/.rootfs"; wait; echo image >"$out/image" ;;
esac
exit 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_value_is_anything_but_a_word(
    make_plan: MakePlan, layers: Layers, tmp_path: Path, hostile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = layers.read(
        "a.dockerfile", f"# {hostile.replace(chr(10), ' ')}\n{ON_SOURCE}ARG METALLIZE_HOSTNAME\nENV A=1\n"
    )
    given = profile(
        name=hostile or "x",
        path=tmp_path / f"a {hostile.replace('/', '')}.yaml",
        args={"hostname": hostile},
        output={"kernel_boot_params": hostile.replace("\n", " "), "options": {"compression": hostile}},
    )
    build_dir = tmp_path / f"build {hostile.replace('/', '')}"
    plan = make_plan(given, rootfs=["debian:trixie", layer], build_dir=build_dir)
    script = tmp_path / "plan.sh"
    script.write_text(shell_script(plan))
    run(["sh", "-n", script])
    programs, record = tmp_path / "programs", tmp_path / "record"
    programs.mkdir()
    (programs / "docker").write_text(FAKE)
    (programs / "docker").chmod(stat.S_IRWXU)
    cwd = tmp_path / "cwd"
    cwd.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    lock = lock_path(given.path)
    lock.write_text("# a lock\n\nbash 4 amd64\n")
    refused = run(["sh", script], cwd=cwd, env={"RECORD": str(record)}, check=False)
    assert refused.status == 2
    assert "< bash 4 amd64\n---\n> bash 5 amd64\n" in refused.stderr
    assert not build_dir.exists()
    lock.write_text("# a lock\n\nbash 5 amd64\n")
    run(["sh", script], cwd=cwd, env={"RECORD": str(record)})
    assert "\0SOURCE_DATE_EPOCH=1700000000\0" in record.read_text()
    assert (build_dir / plan.file).read_text() == "image\n"
    assert not list(tmp_path.rglob("HARMED"))
    assert [path.name for path in build_dir.iterdir()] == [plan.file]
    written = record.read_text()
    assert f"\0METALLIZE_HOSTNAME={hostile}\0" in written
    assert f"\0/generator/build\0{json.dumps(plan.job.as_json(), sort_keys=True)}\0" in written


@pytest.mark.parametrize(
    ("text", "kept"),
    [("", "1700000000"), ("0", "0"), ("007", "7"), ("0" * 600 + "7", "7"), (str(LATEST), str(LATEST))]
    + [(text, None) for text in (str(LATEST + 1), "9" * 500, "yesterday", "-1", "1.5", " 1", "1\n", "1;reboot", "²")],
)
def test_a_date_is_looked_at_before_anything_is_built(
    make_plan: MakePlan, tmp_path: Path, text: str, kept: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, record, programs = tmp_path / "plan.sh", tmp_path / "record", tmp_path / "programs"
    script.write_text(shell_script(make_plan(build_dir=tmp_path / "build")))
    programs.mkdir()
    (programs / "docker").write_text(FAKE)
    (programs / "docker").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    done = run(["sh", script], env={"RECORD": str(record), "SOURCE_DATE_EPOCH": text}, check=False)
    if kept is None:
        assert done.status == 2
        assert "SOURCE_DATE_EPOCH is no number of seconds" in done.stderr
        assert not (tmp_path / "build").exists()
        assert "\0build\0" not in f"\0{record.read_text() if record.exists() else ''}"
    else:
        assert done.status == 0
        assert f"\0SOURCE_DATE_EPOCH={kept}\0" in record.read_text()


def test_shellcheck_finds_nothing(make_plan: MakePlan, tmp_path: Path) -> None:
    script = tmp_path / "plan.sh"
    script.write_text(shell_script(make_plan(), known={}))
    run([Path(sys.executable).with_name("shellcheck"), "--shell", "sh", script])  # a development requirement


def test_the_plan_says_what_is_in_the_image_and_what_is_cached(make_plan: MakePlan, layers: Layers) -> None:
    layer = layers.read("a.dockerfile", f"{ON_SOURCE}EXPOSE 80\n")
    plan = make_plan(rootfs=["debian:trixie", layer])
    assert "a.dockerfile [to build]: the layer a.dockerfile" in shell_script(plan, known={})
    assert "a.dockerfile [cached]: " in shell_script(plan, known={"layer_1": "sha256:0"})
    unknown = shell_script(plan)
    assert "[cached]" not in unknown
    assert "# No container engine answered" in unknown
    assert "a.dockerfile:3: EXPOSE configures a container" in unknown


def test_a_base_that_no_distribution_makes_is_only_pulled(make_plan: MakePlan, layers: Layers) -> None:
    script = shell_script(make_plan(rootfs=["example.org/own:1", layers.read("a.dockerfile")]))
    assert "pull --platform linux/amd64 example.org/own:1" in script
    assert script.count("mmdebstrap") == shell_script(make_plan()).count("mmdebstrap") - 1


def test_the_plan_says_what_becomes_of_a_containers_instructions(make_plan: MakePlan, layers: Layers) -> None:
    below = layers.read("a.dockerfile", f"{ON_SOURCE}ENV A=1\nCMD sleep 1\n")
    above = layers.read("web.dockerfile", f'{ON_SOURCE}USER www\nWORKDIR /srv\nEXPOSE 80\nCMD ["/web", "a \\nb"]\n')
    script = shell_script(make_plan(rootfs=["debian:trixie", below, above]))
    notes = [line for line in script.splitlines() if line.startswith("# note: ")]
    assert notes[0].startswith(
        "# note: web.dockerfile:6: web.service runs `/web 'a b'` as www in /srv, restart always, output in the journal"
    )
    assert notes[1:] == [
        "# note: a.dockerfile:4: CMD gives way to that of web.dockerfile, as in a container.",
        (
            "# note: web.dockerfile:5: EXPOSE configures a container; an OS that boots does not see it: what listens "
            "is reached on its port without it; boot.reach asserts that."
        ),
    ]
    assert '"web.service": "[Unit]' in script
    without = make_plan(profile(output={"app": False}, args={}), rootfs=["debian:trixie", below, above])
    assert "web.service" not in shell_script(without)
    assert without.id != make_plan(rootfs=["debian:trixie", below, above]).id


def test_a_foreign_rootfs_gets_tools_of_the_host(make_plan: MakePlan) -> None:
    generator = dataclasses.replace(GENERATOR, platforms=(Platform.ARM64,))
    given = make_plan(profile(platform=Platform.ARM64), generator=generator)
    tools = given.rootfs.layers[0]
    assert tools.native_base is not None
    assert (tools.native_base.reference, tools.native_base.platform) == ("debian:trixie", Platform.AMD64)
    script = shell_script(given)
    assert "look_for linux/amd64 debian:trixie " in script
    assert "look_for linux/arm64 debian:trixie " in script
    assert '--build-arg METALLIZE_NATIVE_IMG="$native_base"' in script
    assert all(layer.native_base is None for layer in make_plan().rootfs.layers)
    unknown = make_plan(
        profile(platform=Platform.ARM64), generator=generator, rootfs=["alpine:3", *make_plan_layers(given)]
    )
    assert all(layer.native_base is None for layer in unknown.rootfs.layers), "its own tools are not known"


def make_plan_layers(plan: BuildPlan) -> list[LayerSource]:
    """The profile's own layers, read again."""
    return [
        read_layer(Layer(name=each.name, path=each.dockerfile, context=each.context, summary=each.summary))
        for each in plan.rootfs.layers[1:]
    ]


def test_the_plan_says_what_this_engine_cannot_read(make_plan: MakePlan, layers: Layers) -> None:
    written = f"{ON_SOURCE}RUN <<END\ntrue\nEND\n"
    plan = make_plan(rootfs=["debian:trixie", layers.read("here.dockerfile", written)])
    [told] = shortfalls(plan, FakeEngine(version="20.10.24"))
    assert told.startswith("here.dockerfile:3: Docker 20.10.24 does not read ")
    assert "Docker 23" in told
    assert f"# note: {told}" in shell_script(plan, lacking=[told])
    assert list(shortfalls(plan, FakeEngine(version="28.2.2"))) == []
    fetched = make_plan(rootfs=["debian:trixie", layers.read("own.dockerfile", f"# syntax=own/frontend:1\n{written}")])
    assert "own/frontend:1" in next(shortfalls(fetched, FakeEngine(version="28.2.2")))
    there = FakeEngine(version="20.10.24", images={"own/frontend:1": image("own/frontend:1")})
    assert list(shortfalls(fetched, there)) == []


class SameNames(FakeEngine):
    """Gives an image the id that FAKE gives it."""

    def run(self, argv: Sequence[str], output: Callable[[str], None]) -> list[str] | None:
        done = super().run(argv, output)
        for name, found in list(self.images.items()):
            if name.startswith("metallize/layer"):
                self.images[name] = replace(found, id=f"sha256:{name}")
        return done


@pytest.mark.slow
def test_a_build_runs_the_very_commands_that_are_printed(
    make_plan: MakePlan, layers: Layers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds to one of them what the other has not is told here, for every kind of step."""
    own = "own"
    monkeypatch.setattr("metallize.build.planner.TOOLS_BASE", own)
    stages = "ARG METALLIZE_SRC_IMG\nFROM other AS made\nFROM ${METALLIZE_SRC_IMG}\nCOPY --from=made /a /a\n"
    rootfs = [own, layers.read("layer-a.dockerfile", f"{stages}CMD /a\n"), layers.read("layer-b.dockerfile")]
    tools = [Layers(tmp_path / "tools").read("layer-tools.dockerfile")]
    plan = make_plan(rootfs=rootfs, tools=tools, build_dir=tmp_path / "build")
    programs, record, script = tmp_path / "programs", tmp_path / "record", tmp_path / "plan.sh"
    programs.mkdir()
    (programs / "docker").write_text(FAKE)
    (programs / "docker").chmod(stat.S_IRWXU)
    script.write_text(shell_script(plan))
    run(["sh", script], env={"PATH": f"{programs}:/usr/bin:/bin", "RECORD": str(record)})
    printed = [line.split("\0") for line in record.read_text().split("\0\n")]

    made: list[Assembly] = []
    engine = SameNames(
        registry={name: image(name) for name in (own, "other")},
        packages="time 1700000000.5\npackage installed bash 5 amd64\n",
        user=f"{os.getuid()}:{os.getgid()}",
        assembled=made.append,
    )
    making = Making(plan=plan, steps=steps_of(plan), engine=engine, events=Recorder())
    with pytest.raises(MetallizeError), Store(build_dir=plan.build_dir, file=plan.file).workspace() as work:
        making.image(making.images(), work)  # the fake makes no image of it
    [assembly] = made
    assembled = (assembly.seal, assembly.hold, assembly.export, assembly.generate)
    ran = sorted(_without_names(words) for words in (*engine.commands, *(list(each[1:]) for each in assembled)))
    verbs = ("pull", "build", "create", "export", "run")
    assert ran == sorted(_without_names(words) for words in printed if words and words[0] in verbs)
    assert len(ran) == len({"other", own}) + len((*rootfs[1:], *tools)) + len(("look", *assembled))
    removed = [_without_names(words) for words in printed if words and words[0] in ("rm", "rmi")]
    assert removed == [["rm", "--force", "--volumes", "metallize-sealed-"], ["rmi", "--force", "metallize/sealed:"]]


def _without_names(words: Sequence[str]) -> list[str]:
    """A command without the name of this one build: its folder, and the process that it works for."""
    own = r"^(io\.metallize\.\w+=|type=bind,target=/out,\"source=|metallize/sealed:|metallize-sealed-).*"
    return [re.sub(own, r"\1", word) for word in words]
