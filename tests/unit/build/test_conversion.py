"""From a container's rootfs to an operating system's: every row of the conversion's table, and what layers decide."""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from metallize_os import dropped
from metallize_os.added import Addition
from metallize_os.convert import Conversion, ConversionError
from metallize_os.tarstream import TarError
from metallize_os.units import HOST_KEYS_UNIT

from metallize.command import run

from .test_listing import listed
from .test_tarstream import archive, member

EPOCH = 1_700_000_000
INIT = member("usr/lib/systemd/systemd", b"elf", mode=0o755)


def converted(
    *members: tuple[tarfile.TarInfo, bytes], **settings: Any
) -> tuple[Conversion, dict[str, tarfile.TarInfo]]:
    """The conversion of a rootfs with an init system and these members, and the result's members by name."""
    conversion, tar = opened(*members, **settings)
    names = [info.name for info in tar.getmembers()]
    assert len(names) == len(set(names)), "a name stands in the result twice"
    return conversion, {info.name: info for info in tar.getmembers()}


def opened(*members: tuple[tarfile.TarInfo, bytes], **settings: Any) -> tuple[Conversion, tarfile.TarFile]:
    conversion = Conversion(**{"epoch": EPOCH, "hostname": "web1", **settings})
    sink = io.BytesIO()
    conversion.run(io.BytesIO(archive(INIT, *members)), sink)
    assert conversion.listing and conversion.listing.text() == listed(sink.getvalue()), "as the headers say"  # noqa: PT018
    sink.seek(0)
    return conversion, tarfile.open(fileobj=sink)


def content(*members: tuple[tarfile.TarInfo, bytes], name: str, **settings: Any) -> str:
    _, tar = opened(*members, **settings)
    file = tar.extractfile(name)
    assert file is not None
    return file.read().decode()


DROPPED = (
    ".dockerenv",
    ".dockerinit",
    "usr/sbin/policy-rc.d",
    "etc/apt/apt.conf.d/docker-clean",
    "etc/apt/apt.conf.d/docker-no-languages",
    "etc/dpkg/dpkg.cfg.d/docker",
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup",
    "etc/ssh/ssh_host_ed25519_key",
    "etc/ssh/ssh_host_rsa_key.pub",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/credential.secret",
    "var/lib/urandom/random-seed",
    "boot/efi/loader/random-seed",
    "boot/loader/random-seed",
    "var/lib/NetworkManager/secret_key",
    "var/lib/dhcpcd/duid",
    "var/lib/dhcpcd/secret",
    "etc/dhcpcd.duid",
    "var/lib/dbus/machine-id",
    "var/cache/apt/pkgcache.bin",
    "var/cache/apt/archives/a_1_amd64.deb",
    "var/cache/ldconfig/aux-cache",
    "tmp/left",
    "run/left/deep",
    "dev/console",
    "proc/1",
    "sys/x",
)
KEPT = (
    "etc/apt/apt.conf.d/99mine",
    "etc/ssh/sshd_config",
    "etc/ssh/ssh_host_keys.md",
    "var/tmp/kept",
    "var/cache/apt/archives/partial/x",
    "usr/run/x",
    "home/u/.dockerenv",
    "etc/shadow",
)


@pytest.mark.parametrize("name", DROPPED)
def test_what_only_a_container_has_is_dropped(name: str) -> None:
    _, result = converted(member(name, b"x"))
    assert name not in result


def test_every_row_of_the_table_is_tested() -> None:
    for pattern, reason in dropped.DROPPED:
        assert any(re.fullmatch(pattern, name) for name in DROPPED), pattern
        assert reason


@pytest.mark.parametrize("name", KEPT)
def test_the_rest_stays(name: str) -> None:
    _, result = converted(member(name, b"x", mode=0o640, uid=42))
    assert (result[name].mode, result[name].uid, result[name].size) == (0o640, 42, 1)


def test_the_folders_that_a_system_mounts_over_are_there_and_empty() -> None:
    _, result = converted(member("tmp", type=tarfile.DIRTYPE, mode=0o755), member("tmp/x", b"1"))
    assert all(result[name].isdir() for name in dropped.EMPTIED)
    assert result["tmp"].mode == 0o1777
    assert result["proc"].mode == 0o755
    assert "tmp/x" not in result
    assert converted()[1]["tmp"].mode == 0o1777


def test_names_that_begin_with_a_dot_and_a_slash() -> None:
    _, result = converted(
        member("./", type=tarfile.DIRTYPE),
        member("./.dockerenv"),
        member("./tmp/x"),
        member("./etc/hostname", b"own\n"),
    )
    assert "./.dockerenv" not in result
    assert "./tmp/x" not in result
    assert "etc/hostname" not in result
    assert "./etc/hostname" in result


def test_nothing_is_younger_than_the_epoch() -> None:
    young = [member("a", b"x", mtime=EPOCH + 5), member("./", type=tarfile.DIRTYPE, mtime=EPOCH + 5)]
    _, result = converted(*young, member("old", b"x", mtime=5))
    assert max(info.mtime for info in result.values()) == EPOCH
    assert result["old"].mtime == 5


@pytest.mark.parametrize("name", ["etc/resolv.conf", "etc/hostname", "etc/hosts"])
def test_a_layers_own_file_wins_over_the_default(name: str) -> None:
    assert content(member(name, b"own\n"), name=name) == "own\n"


@pytest.mark.parametrize("name", ["etc/resolv.conf", "etc/hostname", "etc/hosts"])
@pytest.mark.parametrize("left", [b"", b"\n"])
def test_what_is_left_of_a_bind_mount_gives_way(name: str, left: bytes) -> None:
    assert content(member(name, left), name="etc/hostname") == "web1\n"
    assert "127.0.1.1\tweb1\n" in content(member(name, left), name="etc/hosts")


OF_THE_BASE = {
    "etc/hostname": b"debuerreotype\n",
    "etc/hosts": b"127.0.1.1 debuerreotype\n",
    "etc/resolv.conf": b"# a public one\nnameserver 192.0.2.1\n",
}


def test_what_is_the_base_images_own_gives_way_and_it_is_said() -> None:
    told = member(".metallize-of-the-base", "\n".join(OF_THE_BASE).encode())
    own = [member(name, text) for name, text in OF_THE_BASE.items()]
    conversion, result = converted(told, *own, member("usr/lib/systemd/systemd-resolved", b"elf"))
    assert ".metallize-of-the-base" not in result
    assert result["etc/resolv.conf"].linkname == "../run/systemd/resolve/stub-resolv.conf"
    assert content(told, *own, name="etc/hostname") == "web1\n"
    assert "127.0.1.1\tweb1\n" in content(told, *own, name="etc/hosts")
    assert [note.partition(" is not kept")[0] for note in conversion.notes] == [
        "/etc/hostname of the base image (debuerreotype)",
        "/etc/hosts of the base image (127.0.1.1 debuerreotype)",
        "/etc/resolv.conf of the base image (nameserver 192.0.2.1)",
    ]


def test_what_is_not_listed_as_the_bases_stays() -> None:
    told = member(".metallize-of-the-base", b"etc/resolv.conf\netc/passwd\n")
    members = (told, *(member(name, text) for name, text in OF_THE_BASE.items()), member("etc/passwd", b"root"))
    assert content(*members, name="etc/hostname") == "debuerreotype\n"
    assert content(*members, name="etc/passwd") == "root"
    assert content(*members, name="etc/resolv.conf") == ""


def test_a_list_of_the_bases_files_that_comes_too_late_is_an_error() -> None:
    late = (member("etc/hostname", b"debuerreotype\n"), member(".metallize-of-the-base", b"etc/hostname\n"))
    with pytest.raises(ConversionError, match="not sorted"):
        converted(*late)


def test_hosts_follows_a_layers_hostname() -> None:
    assert "127.0.1.1\tdb7\n" in content(member("etc/hostname", b"db7\n"), name="etc/hosts")


def test_a_hostname_that_is_a_link_stays_one() -> None:
    link = member("etc/hostname", type=tarfile.SYMTYPE, linkname="/etc/name")
    assert converted(link)[1]["etc/hostname"].linkname == "/etc/name"
    assert "127.0.1.1\tweb1\n" in content(link, name="etc/hosts")


def test_resolv_conf_follows_systemd_resolved_where_it_is() -> None:
    resolved = member("usr/lib/systemd/systemd-resolved", b"elf")
    stub = "../run/systemd/resolve/stub-resolv.conf"
    assert converted(resolved)[1]["etc/resolv.conf"].linkname == stub
    assert converted()[1]["etc/resolv.conf"].isreg()
    own = member("etc/resolv.conf", type=tarfile.SYMTYPE, linkname="/run/resolvconf/resolv.conf")
    assert converted(resolved, own)[1]["etc/resolv.conf"].linkname == "/run/resolvconf/resolv.conf"


@pytest.mark.parametrize("left", [b"", b"0123456789abcdef0123456789abcdef\n"])
def test_the_machine_id_is_made_on_the_first_boot(left: bytes) -> None:
    members = (member("etc/machine-id", left), member("var/lib/dbus", type=tarfile.DIRTYPE))
    assert content(*members, name="etc/machine-id") == "uninitialized\n"
    _, result = converted(*members, member("var/lib/dbus/machine-id", left))
    assert result["etc/machine-id"].mode == 0o444
    assert result["var/lib/dbus/machine-id"].linkname == "/etc/machine-id"


def test_ssh_host_keys_are_made_where_there_is_a_server() -> None:
    unit = "etc/systemd/system/metallize-ssh-host-keys.service"
    _, result = converted(member("usr/sbin/sshd", b"elf"))
    assert unit in result
    wants = {name.split("/")[3] for name in result if name.endswith("wants/metallize-ssh-host-keys.service")}
    assert wants == {"multi-user.target.wants", "ssh.service.wants"}
    assert {result[f"etc/systemd/system/{name}/{unit.rpartition('/')[2]}"].linkname for name in wants} == {f"/{unit}"}
    assert unit not in converted()[1]


def test_the_distributions_own_unit_for_host_keys_finds_them_made() -> None:
    once = "etc/systemd/system/sshd-keygen.service.d/metallize.conf"
    sshd = member("usr/sbin/sshd", b"elf")
    _, result = converted(sshd, member("usr/lib/systemd/system/sshd-keygen.service", b"unit"))
    assert once in result
    assert once not in converted(sshd)[1]


@pytest.mark.parametrize(
    ("configuration", "there", "made"),
    [
        ({}, (), ["-q -t ecdsa", "-q -t ed25519"]),
        ({"sshd_config": "#HostKey /etc/ssh/ssh_host_rsa_key\n"}, ("ecdsa",), ["-q -t ed25519"]),
        ({"sshd_config.d/own.conf": "  hostkey /etc/ssh/ssh_host_rsa_key\n"}, (), ["-A"]),
    ],
)
def test_which_host_keys_are_made(
    tmp_path: Path, configuration: dict[str, str], there: tuple[str, ...], made: list[str]
) -> None:
    (tmp_path / "sshd_config.d").mkdir()
    for name, text in configuration.items():
        (tmp_path / name).write_text(text)
    for kind in there:
        (tmp_path / f"ssh_host_{kind}_key").write_text("own")
    script = 'echo "$1 $2 $3" | sed "s/ *$//" >>asked; for file do :; done; [ "$1" = -A ] || touch "$file" "$file.pub"'
    (tmp_path / "ssh-keygen").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "ssh-keygen").chmod(0o755)
    joined = HOST_KEYS_UNIT.replace("\\\n", " ")
    (command,) = re.findall(r"^ExecStart=(.*)$", joined, re.MULTILINE)
    words = shlex.split(command.replace("$$", "$").replace("%%", "%"))  # as systemd.service(5) reads it
    run(words, cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    assert (tmp_path / "asked").read_text().splitlines() == made
    assert not list(tmp_path.glob(".ssh_host*"))
    if "-A" not in made:
        names = {path.name for path in tmp_path.glob("ssh_host_*")}
        assert {"ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "ssh_host_ecdsa_key"} <= names


def test_no_prompt_on_the_first_boot() -> None:
    _, result = converted()
    assert result["etc/systemd/system/systemd-firstboot.service"].linkname == "/dev/null"
    assert content(name="etc/locale.conf") == "LANG=C.UTF-8\n"
    own = member("etc/default/locale", b"LANG=de_DE.UTF-8\n")
    assert content(own, name="etc/default/locale") == "LANG=de_DE.UTF-8\n"
    assert "etc/locale.conf" not in converted(own)[1]
    dangling = member("etc/default/locale", type=tarfile.SYMTYPE, linkname="../locale.conf")
    assert content(dangling, name="etc/locale.conf") == "LANG=C.UTF-8\n"
    assert converted(dangling)[1]["etc/default/locale"].linkname == "../locale.conf"


@pytest.mark.parametrize(("version", "verb"), [("245", "disable"), ("252", "disable"), ("257", "ignore")])
def test_units_stay_as_the_layers_left_them(version: str, verb: str) -> None:
    library = member(f"usr/lib/systemd/libsystemd-shared-{version}.so", b"elf")
    text = content(library, name="etc/systemd/system-preset/00-metallize.preset")
    assert text.splitlines()[-1] == f"{verb} *"


def test_a_layers_own_file_wins_over_any_addition() -> None:
    preset = member("etc/systemd/system-preset/00-metallize.preset", b"enable *\n")
    assert content(preset, name="etc/systemd/system-preset/00-metallize.preset") == "enable *\n"
    unit = member("etc/systemd/system/metallize-ssh-host-keys.service", b"own")
    assert content(unit, member("usr/sbin/sshd"), name="etc/systemd/system/metallize-ssh-host-keys.service") == "own"


def test_a_generators_additions_and_replacements() -> None:
    def additions(_: Conversion) -> Iterable[Addition]:
        yield Addition("boot/grub/grub.cfg", b"new")
        yield Addition("usr/lib/tool", b"#!", mode=0o755)

    settings = {"additions": additions, "replaced": frozenset({"boot/grub/grub.cfg"})}
    _, result = converted(member("boot/grub/grub.cfg", b"old one"), **settings)
    assert result["boot/grub/grub.cfg"].size == 3
    assert result["boot/grub"].isdir()
    assert (result["usr/lib/tool"].mode, result["usr/lib/tool"].uid) == (0o755, 0)


def test_a_hard_link_to_what_is_dropped_is_an_error_that_names_both() -> None:
    link = member("usr/keep", type=tarfile.LNKTYPE, linkname="tmp/gone")
    with pytest.raises(ConversionError, match="/usr/keep is a hard link to /tmp/gone"):
        converted(member("tmp/gone", b"x"), link)


def test_hard_links_of_what_stays_pass() -> None:
    link = member("usr/bin/b", type=tarfile.LNKTYPE, linkname="usr/bin/a")
    assert converted(member("usr/bin/a", b"x"), link)[1]["usr/bin/b"].linkname == "usr/bin/a"


def test_no_init_system() -> None:
    with pytest.raises(ConversionError, match="no init system"):
        Conversion(epoch=EPOCH, hostname="x").run(io.BytesIO(archive(member("bin/sh", b"x"))), io.BytesIO())


UNITS = {"web.service": "[Service]\nExecStart=/web\n"}


def test_a_unit_is_added_and_enabled() -> None:
    _, members = converted(units=UNITS)
    assert members["etc/systemd/system/web.service"].isfile()
    assert members["etc/systemd/system/multi-user.target.wants/web.service"].linkname.endswith("/web.service")
    assert content(name="etc/systemd/system/web.service", units=UNITS) == UNITS["web.service"]


@pytest.mark.parametrize("folder", ["etc/systemd/system", "usr/lib/systemd/system"])
def test_a_unit_of_the_rootfs_wins_and_it_is_said(folder: str) -> None:
    own = member(f"{folder}/web.service", b"own")
    conversion, members = converted(own, units=UNITS)
    assert "etc/systemd/system/multi-user.target.wants/web.service" not in members
    assert content(own, name=f"{folder}/web.service", units=UNITS) == "own"
    assert "own web.service" in conversion.notes[0]


def test_an_init_that_is_not_systemd_is_one() -> None:
    link = member("sbin/init", type=tarfile.SYMTYPE, linkname="/bin/busybox")
    sink = io.BytesIO()
    Conversion(epoch=EPOCH, hostname="x").run(io.BytesIO(archive(link)), sink)
    assert b"busybox" in sink.getvalue()


def test_a_stream_that_ends_early_is_an_error() -> None:
    source = archive(INIT, member("a", b"x" * 5000))
    with pytest.raises(TarError, match="ended in the middle"):
        Conversion(epoch=EPOCH, hostname="x").run(io.BytesIO(source[:2000]), io.BytesIO())
