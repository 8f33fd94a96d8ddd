"""What a package made up in the build is not in the image, and the unit that makes it anew is whole at any moment."""

from __future__ import annotations

import re
import shlex
import tarfile
from pathlib import Path

import pytest
from metallize_os.dropped import DROPPED
from metallize_os.identities import IDENTITIES, Identity

from metallize.command import run
from tests.conftest import ROOT

from .test_conversion import content, converted
from .test_tarstream import member

NQN = b"nqn.2014-08.org.nvmexpress:uuid:2d6dc1f2-9c1e-4b5b-a9c5-1a0ecba4a1d3\n"
UUID = b"2d6dc1f2-9c1e-4b5b-a9c5-1a0ecba4a1d3\n"
MADE = {
    "ssl-cert": {"etc/ssl/private/ssl-cert-snakeoil.key": b"key", "etc/ssl/certs/ssl-cert-snakeoil.pem": b"pem"},
    "nvme-host": {"etc/nvme/hostid": UUID, "etc/nvme/hostnqn": NQN},
    "rndc-key": {"etc/bind/rndc.key": b'key "rndc-key" {\n\tsecret "x";\n};\n'},
}
OWN = {
    "nvme-host": {"etc/nvme/hostid": UUID, "etc/nvme/hostnqn": b"nqn.2024-01.com.example:host1\n"},
    "rndc-key": {"etc/bind/rndc.key": b'key "ours" {};\n'},
}


def one(name: str) -> Identity:
    return next(identity for identity in IDENTITIES if identity.name == name)


def members(name: str, files: dict[str, bytes], *, tool: bool = True) -> list[tuple[tarfile.TarInfo, bytes]]:
    program = [member(one(name).needs, b"elf", mode=0o755)] if tool else []
    return [*(member(path, data) for path, data in files.items()), *program]


def test_every_identity_is_tried() -> None:
    assert set(MADE) == {identity.name for identity in IDENTITIES}
    for identity in IDENTITIES:
        assert set(MADE[identity.name]) == set(identity.files)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("backwards", [False, True])
def test_what_a_package_made_up_is_left_out_and_made_anew(name: str, backwards: bool) -> None:
    files = dict(sorted(MADE[name].items(), reverse=backwards))
    conversion, result = converted(*members(name, files))
    assert not set(files) & set(result)
    unit = f"etc/systemd/system/metallize-{name}.service"
    assert result[f"etc/systemd/system/sysinit.target.wants/metallize-{name}.service"].linkname == f"/{unit}"
    text = content(*members(name, files), name=unit)
    for file in files:
        assert f"ConditionFileNotEmpty=|!/{file}\n" in text
    [note] = conversion.notes
    assert note == f"made anew on the first boot of each machine: {one(name).what}"


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("backwards", [False, True])
def test_what_a_layer_chose_stays(name: str, backwards: bool) -> None:
    files = dict(sorted(OWN[name].items(), reverse=backwards))
    conversion, result = converted(*members(name, files))
    assert set(files) <= set(result)
    for path, data in files.items():
        assert content(*members(name, files), name=path) == data.decode()
    assert f"etc/systemd/system/metallize-{name}.service" not in result
    assert conversion.notes == []


def test_what_nothing_makes_anew_is_said() -> None:
    conversion, result = converted(*members("ssl-cert", MADE["ssl-cert"], tool=False))
    assert not set(MADE["ssl-cert"]) & set(result)
    [note] = conversion.notes
    assert note.startswith(
        "WARNING: /etc/ssl/private/ssl-cert-snakeoil.key and /etc/ssl/certs/ssl-cert-snakeoil.pem are"
    )
    assert note.endswith("the rootfs has no /usr/sbin/make-ssl-cert")


def test_an_image_without_them_has_no_unit_and_no_word() -> None:
    conversion, result = converted(member("usr/sbin/nvme", b"elf"))
    assert not [name for name in result if "nvme" in name and name.endswith(".service")]
    assert conversion.notes == []


def test_the_certificates_hash_goes_with_it_and_no_other_link() -> None:
    links = {"etc/ssl/certs/0a1b2c3d.0": False, "etc/ssl/certs/mail.pem": True, "etc/dovecot/0a1b2c3d.0": True}
    entries = [member(name, type=tarfile.SYMTYPE, linkname="ssl-cert-snakeoil.pem") for name in links]
    _, result = converted(*entries, *members("ssl-cert", MADE["ssl-cert"]))
    assert {name: name in result for name in links} == links


def words(identity: Identity, root: Path) -> list[str]:
    """ExecStart as systemd reads it, in another root."""
    (command,) = re.findall(r"^ExecStart=(.*)$", identity.text, re.MULTILINE)
    whole = shlex.split(command.replace("$$", "$").replace("%%", "%"))
    return [*whole[:-1], whole[-1].replace("/etc/", f"{root}/etc/")]


def nvme(root: Path) -> tuple[str, str]:
    (root / "etc/nvme").mkdir(parents=True, exist_ok=True)
    run(words(one("nvme-host"), root))
    assert sorted(path.name for path in (root / "etc/nvme").iterdir()) == ["hostid", "hostnqn"]
    return (root / "etc/nvme/hostnqn").read_text().strip(), (root / "etc/nvme/hostid").read_text().strip()


def test_two_nvme_hosts_differ_and_each_has_one_id(tmp_path: Path) -> None:
    first, second = nvme(tmp_path / "a"), nvme(tmp_path / "b")
    for nqn, host in (first, second):
        assert nqn == f"nqn.2014-08.org.nvmexpress:uuid:{host}"
    assert first != second
    assert nvme(tmp_path / "a") == first  # a second run changes nothing


@pytest.mark.parametrize(
    "left", [{}, {".hostnqn": "nqn.20"}, {".hostid": "2d"}, {"hostid": UUID.decode()}, {"hostnqn": ""}]
)
def test_an_nvme_host_is_made_whole_after_an_interruption(tmp_path: Path, left: dict[str, str]) -> None:
    (tmp_path / "etc/nvme").mkdir(parents=True)
    for name, text in left.items():
        (tmp_path / "etc/nvme" / name).write_text(text)
    nqn, host = nvme(tmp_path)
    assert nqn == f"nqn.2014-08.org.nvmexpress:uuid:{host}"
    assert host != UUID.decode().strip()


def test_a_name_without_an_id_gets_one(tmp_path: Path) -> None:
    (tmp_path / "etc/nvme").mkdir(parents=True)
    (tmp_path / "etc/nvme/hostnqn").write_text("nqn.2024-01.com.example:host1\n")
    nqn, host = nvme(tmp_path)
    assert nqn == "nqn.2024-01.com.example:host1"
    assert re.fullmatch(r"[0-9a-f-]{36}", host)


def test_no_script_holds_what_systemd_would_read_otherwise() -> None:
    for identity in IDENTITIES:
        assert "'" not in identity.script
        assert "\n" not in identity.script
        assert "\\" not in identity.script
        assert len(re.findall("^ExecStart=", identity.text, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ("## DO NOT EDIT\nInitiatorName=iqn.1993-08.org.debian:01:9f3c5a1b2d\n", False),
        ("InitiatorName=iqn.2004-10.com.ubuntu:01:9f3c5a1b2d\n", False),
        ("InitiatorName=iqn.2024-01.com.example:web1\n", True),
        ("GenerateName=yes\n", True),
        (None, True),
    ],
)
def test_the_seal_leaves_no_initiator_name_of_the_build(tmp_path: Path, content: str | None, kept: bool) -> None:
    """It is done before the initrd is made, into which open-iscsi's hook copies the file."""
    seal = (ROOT / "generators/common/seal/seal").read_text()
    start = seal.index("iscsi=/etc")
    assert start < seal.index("update-initramfs -c")
    snippet = seal[start : seal.index("\nfi\n", start) + 4]
    file = tmp_path / "initiatorname.iscsi"
    if content is not None:
        file.write_text(content)
        file.chmod(0o600)
    script = f'SOURCE_DATE_EPOCH=1577836800; say() {{ echo "$*"; }}; {snippet.replace("/etc/iscsi", str(tmp_path))}'
    said = run(["sh", "-euc", script]).stdout
    if content is None:
        assert not file.exists()
    elif kept:
        assert file.read_text() == content
    else:
        assert file.read_text() == "GenerateName=yes\n"
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.stat().st_mtime == 1577836800
    assert bool(said) is not kept


def test_the_page_has_every_identity() -> None:
    """docs/identities.md names each file that is left out for this reason, and each unit."""
    text = (ROOT / "docs/identities.md").read_text()
    for identity in IDENTITIES:
        assert identity.unit in text
        for file in identity.files:
            assert f"`/{file}`" in text
    of_machines = [pattern for pattern, _ in DROPPED if re.search("seed|secret|duid|host_|machine-id", pattern)]
    assert len(of_machines) == 7
    paths = [path.replace("*", "rsa").lstrip("/") for path in re.findall(r"`([\w./*-]+)`", text)]
    for pattern in of_machines:
        last = re.compile(pattern)
        assert any(last.fullmatch(path) or last.fullmatch(f"boot/{path}") for path in paths), pattern
