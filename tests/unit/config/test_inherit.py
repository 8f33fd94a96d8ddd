"""`extends` and `outputs`: what a profile takes from another one, and several images of one stack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from metallize.catalog import Catalog
from metallize.config import load_profiles
from metallize.errors import ProfileError
from metallize.model.boot import SeedFile
from metallize.model.loaded import Profile

BASE = """\
args: {hostname: web1, zone: a}
images: [debian:trixie, debian-live.dockerfile, ssh-server.dockerfile]
output: {generator: livecd, file: base.iso, options: {level: 3}}
boot:
  machines: [seabios, ovmf]
  memory: 2G
  login: {user: admin, password: admin}
  assert:
    service: {ssh: {enabled: true}}
"""
Load = Callable[..., tuple[Profile, ...]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Write files and load the last one; the shipped catalogue stands behind it."""

    def loaded(**files: str) -> tuple[Profile, ...]:
        for name, text in files.items():
            path = tmp_path / f"{name.replace('__', '/')}.yaml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return load_profiles(path, vocabulary=Catalog().vocabulary())

    return loaded


def problems(load: Load, **files: str) -> list[str]:
    with pytest.raises(ProfileError) as caught:
        load(**files)
    return [f"{p.location.path.name}:{p.location.line}:{p.location.column}: {p.message}" for p in caught.value.problems]


def test_mappings_are_joined_and_the_rest_is_replaced(load: Load) -> None:
    child = (
        "extends: base.yaml\nargs: {zone: b}\nboot: {machines: [ovmf], assert: {service: {cron: {enabled: true}}}}\n"
    )
    [profile] = load(base=BASE, child=child + "output: {file: child.iso}\n")
    assert profile.name == "child"
    assert profile.args == {"hostname": "web1", "zone": "b"}
    assert profile.output.file == "child.iso"
    assert profile.output.options == {"level": 3}
    assert profile.boot is not None
    assert list(profile.boot.machines) == ["ovmf"]
    assert profile.boot.memory == 2 << 30
    assert [assertion.resource for assertion in profile.assertions] == ["ssh", "cron"]


def test_images_stand_on_the_inherited(load: Load) -> None:
    [profile] = load(base=BASE, child="extends: base.yaml\nimages: [admin-user.dockerfile]\n")
    names = [name.removesuffix(".dockerfile") for name in profile.images]
    assert names == ["debian:trixie", "debian-live", "ssh-server", "admin-user"]


def test_the_base_may_be_the_childs(load: Load) -> None:
    shared = "images: [ssh-server.dockerfile, admin-user.dockerfile]\n"
    child = "extends: shared.yaml\nimages: [debian:trixie, debian-live.dockerfile, inherited, hostname.dockerfile]\n"
    [profile] = load(shared=shared, child=child + "output: {generator: livecd, file: x.iso}\n")
    assert profile.images == (
        "debian:trixie",
        "debian-live.dockerfile",
        "ssh-server.dockerfile",
        "admin-user.dockerfile",
        "hostname.dockerfile",
    )


def test_a_shipped_profile_is_extended_by_its_name(load: Load) -> None:
    [profile] = load(mine="extends: debian13-livecd\noutput: {file: mine.iso}\n")
    assert profile.output.file == "mine.iso"
    assert profile.output.generator == "livecd"
    assert profile.assertions


def test_a_chain_and_a_folder_below(load: Load, tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common/app.dockerfile").write_text("ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\n")
    [profile] = load(
        common__top=BASE.replace("ssh-server", "app"),
        common__middle="extends: top.yaml\nargs: {zone: c}\n",
        child="extends: common/middle.yaml\nargs: {hostname: h}\n",
    )
    assert profile.images[2] == "common/app.dockerfile"
    assert profile.args == {"hostname": "h", "zone": "c"}


SEEDED = BASE.replace("  memory: 2G\n", "  seed: {user-data: cloud.yaml}\n  ssh: {user: admin, key: keys/id}\n")


def test_files_that_a_parent_names_are_beside_it(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a child above it, whatever folder the command is run in, and whatever lies there."""
    monkeypatch.chdir(tmp_path)
    for folder, text in (("common", "parent"), (".", "child")):
        (tmp_path / folder / "keys").mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "cloud.yaml").write_text(f"#cloud-config\nhostname: {text}\n")
        (tmp_path / folder / "keys/id").write_text(text)
    child = "extends: common/top.yaml\n"
    boots = [
        profile.boot
        for profile in load(common__top=SEEDED, mine=child)
        + load(own=child + "boot: {seed: {user-data: cloud.yaml}, ssh: {key: keys/id}}\n")
    ]
    for boot, folder in zip(boots, ("common", "."), strict=True):
        assert boot is not None
        assert boot.ssh is not None
        assert boot.seed[SeedFile.USER_DATA] == (tmp_path / folder / "cloud.yaml").read_text()
        assert boot.ssh.key == str(tmp_path / folder / "keys/id")


def test_a_file_that_is_not_beside_the_parent_may_be_beside_the_child(load: Load, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/id").write_text("x")
    (tmp_path / "cloud.yaml").write_text("#cloud-config\n{}\n")
    [profile] = load(common__top=SEEDED, child="extends: common/top.yaml\n")
    assert profile.boot is not None
    assert profile.boot.ssh is not None
    assert profile.boot.ssh.key == str(tmp_path / "keys/id")
    assert profile.boot.seed[SeedFile.USER_DATA] == "#cloud-config\n{}\n"


@pytest.mark.parametrize("key", ["ephemeral", "keys/none"])
def test_a_key_that_is_nowhere_stays_as_it_is_written(load: Load, key: str) -> None:
    text = SEEDED.replace("keys/id", key).replace("  seed: {user-data: cloud.yaml}\n", "")
    [profile] = load(common__top=text, child="extends: common/top.yaml\n")
    assert profile.boot is not None
    assert profile.boot.ssh is not None
    assert profile.boot.ssh.key == key


def test_a_seed_that_is_nowhere_is_told_where_it_stands(load: Load) -> None:
    said = problems(load, common__top=SEEDED, child="extends: common/top.yaml\n")
    assert said == ["top.yaml:6:21: `cloud.yaml` cannot be read: No such file or directory"]


def test_what_the_command_line_names_is_beside_the_profile(tmp_path: Path) -> None:
    (tmp_path / "common").mkdir()
    (tmp_path / "common/top.yaml").write_text(SEEDED)
    (tmp_path / "child.yaml").write_text("extends: common/top.yaml\n")
    for name in ("common/cloud.yaml", "common/other.yaml", "other.yaml"):
        (tmp_path / name).write_text(f"#cloud-config\nhostname: {name}\n")
    overrides = {"boot.seed.user-data": "other.yaml"}
    [profile] = load_profiles(tmp_path / "child.yaml", vocabulary=Catalog().vocabulary(), overrides=overrides)
    assert profile.boot is not None
    assert profile.boot.seed[SeedFile.USER_DATA] == "#cloud-config\nhostname: other.yaml\n"


def test_a_problem_is_shown_where_it_stands(load: Load) -> None:
    [said] = problems(load, base=BASE.replace("memory: 2G", "memory: much"), child="extends: base.yaml\n")
    assert said.startswith("base.yaml:6:11: `memory`")


@pytest.mark.parametrize(
    ("extends", "said"),
    [
        ("nothing.yaml", "1:10: unknown profile `nothing.yaml`"),
        ("../base.yaml", "1:10: profile `../base.yaml`: it leaves its folder with `..`"),
        ("[base.yaml]", "1:10: `extends` names one profile, not a list: `[base.yaml]`"),
        ("child.yaml", "1:10: `extends` leads back to itself, or on and on: child.yaml -> child.yaml"),
    ],
)
def test_what_cannot_be_extended(load: Load, extends: str, said: str) -> None:
    found = problems(load, base=BASE, child=f"extends: {extends}\n")
    assert f"child.yaml:{said}" in found


SEVERAL = BASE.replace(
    "output: {generator: livecd, file: base.iso, options: {level: 3}}",
    """\
output: {kernel_boot_params: console=ttyS0 quiet}
outputs:
  - {generator: livecd, file: web.iso}
  - generator: ext4
    file: web.qcow2
    boot: {machines: [seabios], disk: 8G, assert: {mount: {/: {exists: true, filesystem: ext4}}}}""",
)


def test_several_outputs_of_one_stack(load: Load) -> None:
    cd, disk = load(web=SEVERAL)
    assert (cd.output.generator, cd.output.file) == ("livecd", "web.iso")
    assert (disk.output.generator, disk.output.file) == ("ext4", "web.qcow2")
    assert cd.output.kernel_boot_params == disk.output.kernel_boot_params == "console=ttyS0 quiet"
    assert cd.images == disk.images
    assert cd.boot is not None
    assert disk.boot is not None
    assert list(cd.boot.machines) == ["seabios", "ovmf"]
    assert list(disk.boot.machines) == ["seabios"]
    assert (cd.boot.disk, disk.boot.disk) == (None, 8 << 30)
    assert disk.boot.memory == 2 << 30
    assert [item.kind for item in disk.assertions] == ["service", "mount"]
    assert [str(each.runs) for each in (cd, disk)] == ["web/web.iso", "web/web.qcow2"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("web.qcow2", "web.iso", "two outputs are called `web.iso`"),
        ("- {generator: livecd, file: web.iso}", "- livecd", "an output is a mapping, not text: `livecd`"),
        ("generator: ext4", "generator: ext5", "unknown generator `ext5`"),
    ],
)
def test_what_is_wrong_with_an_output(load: Load, before: str, after: str, said: str) -> None:
    assert any(said in line for line in problems(load, web=SEVERAL.replace(before, after)))


def test_no_outputs_at_all(load: Load) -> None:
    said = problems(load, web="images: [debian:trixie]\noutputs: []\n")
    assert said == ["web.yaml:2:1: `outputs` is empty, so there is nothing to make"]
