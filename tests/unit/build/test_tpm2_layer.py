"""/var encrypted: what the generator leaves for the first boot, and layers/debian-ab-tpm2 run over a file."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from metallize_os import encryption
from metallize_os.convert import Conversion, ConversionError

from tests.conftest import ROOT

pytestmark = pytest.mark.slow  # the script starts many programs
PARTITION = "0ab1"
OPTIONS = {"encrypt": "tpm2", "pcrs": "7", "grow": True}
FAKES = {
    "modprobe": "exit 0",
    "cryptsetup": """
case $1 in
  isLuks) for last; do :; done; [ "$(head -c 4 "$last")" = LUKS ] ;;
  luksFormat)
    while [ "$1" != --header ]; do shift; done
    printf LUKS | dd of="$2" conv=notrunc status=none ;;
esac
""",
    "systemd-cryptenroll": 'for last; do :; done; echo token | dd of="$last" bs=4096 seek=1 conv=notrunc status=none',
    "systemd-cryptsetup": """
case $5 in *header=*) ;; *) [ ! -e "$FOLDER/other-tpm" ] || { echo "it is not of this TPM"; exit 1; } ;; esac
: >"$FOLDER/mapper/var"
""",
    "mke2fs": '[ ! -e "$FOLDER/cut" ] && for last; do :; done && echo ext4 >"$last"',
}


@dataclass(frozen=True, slots=True)
class Machine:
    """One with a TPM and a partition, both of them files."""

    folder: Path

    @property
    def partition(self) -> Path:
        return self.folder / "partition"

    def open(self) -> tuple[int, str]:
        """The status of open-var and what it prints; nothing of its own is left behind."""
        done = subprocess.run(
            ["sh", ROOT / "layers" / "debian-ab-tpm2" / "open-var", self.partition],
            check=False,
            capture_output=True,
            text=True,
            env={
                "FOLDER": str(self.folder),
                "METALLIZE_PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "METALLIZE_ENCRYPTED_VAR": str(self.folder / "encrypted-var"),
                "METALLIZE_TPM": str(self.folder / "tpm"),
                "METALLIZE_RUN": str(self.folder),
                "METALLIZE_MAPPER": str(self.folder / "mapper"),
            },
        )
        assert not (self.folder / "metallize-var").exists(), "the key and the header in memory are gone"
        return done.returncode, done.stdout

    @property
    def opened(self) -> bool:
        return (self.folder / "mapper/var").exists()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for name in ("bin", "mapper"):
        (tmp_path / name).mkdir()
    for name, text in FAKES.items():
        fake = tmp_path / "bin" / name
        fake.write_text(f"#!/bin/sh\n{text}\n")
        fake.chmod(0o755)
    (tmp_path / "tpm").touch()
    (tmp_path / "encrypted-var").write_text("pcrs=7\ngrow=no\n")
    made = Machine(folder=tmp_path)
    with made.partition.open("wb") as file:
        file.truncate(32 << 20)
    encryption.mark(made.partition, 0)
    return made


def test_the_first_boot_makes_the_volume_and_later_ones_open_it(machine: Machine) -> None:
    status, told = machine.open()
    assert (status, machine.opened) == (0, True)
    assert "encrypted, with a key that is bound to this machine's TPM (PCRs: 7)" in told
    content = machine.partition.read_bytes()
    assert content.startswith(b"LUKS\0"), "no letter of the line of text is left"
    assert content[4096:].startswith(b"token")
    assert (machine.folder / "mapper/var").read_text() == "ext4\n"
    (machine.folder / "mapper/var").unlink()
    assert machine.open() == (0, "")
    assert machine.opened
    assert machine.partition.read_bytes() == content


def test_what_could_not_be_made_is_made_by_the_next_boot(machine: Machine) -> None:
    (machine.folder / "cut").touch()
    before = machine.partition.read_bytes()
    status, told = machine.open()
    assert status == 1
    assert "cannot be unlocked: it cannot be encrypted" in told
    assert machine.partition.read_bytes() == before
    (machine.folder / "cut").unlink()
    assert machine.open()[0] == 0


def test_another_tpm_opens_nothing_and_nothing_is_made_anew(machine: Machine) -> None:
    machine.open()
    (machine.folder / "mapper/var").unlink()
    (machine.folder / "other-tpm").touch()
    content = machine.partition.read_bytes()
    status, told = machine.open()
    assert (status, machine.opened) == (1, False)
    assert "it is not of this TPM" in told
    assert "cannot be unlocked: the TPM does not give out its key" in told
    assert machine.partition.read_bytes() == content


def test_what_is_not_encrypted_is_neither_taken_nor_changed(machine: Machine) -> None:
    with machine.partition.open("r+b") as file:
        file.write(b"an ext4 of a release before".ljust(4096, b"\0"))
    content = machine.partition.read_bytes()
    status, told = machine.open()
    assert (status, machine.opened) == (1, False)
    assert "is not encrypted, and this image takes none that is not" in told
    assert machine.partition.read_bytes() == content


def test_a_machine_without_a_tpm_says_so(machine: Machine) -> None:
    (machine.folder / "tpm").unlink()
    sleep = machine.folder / "bin/sleep"
    sleep.write_text("#!/bin/sh\n")
    sleep.chmod(0o755)
    assert machine.open() == (
        1,
        "metallize: /var cannot be unlocked: this machine has no TPM 2.0, to which its key is bound\n",
    )


def rootfs(*names: str) -> Conversion:
    made = Conversion(epoch=0, hostname="h")
    made.paths.update(names)
    made.captures["etc/fstab"] = f"PARTUUID={PARTITION} /var ext4 noatime 0 0\nUUID=1 /efi vfat\n".encode()
    return made


def test_the_image_says_to_what_the_key_is_bound_and_mounts_the_volume() -> None:
    added = {each.name: each for each in encryption.additions(rootfs("usr/lib/metallize/open-var"), OPTIONS, PARTITION)}
    assert added["usr/lib/metallize/encrypted-var"].data == b"pcrs=7\ngrow=yes\n"
    assert added["etc/fstab"].data == b"/dev/mapper/var /var ext4 noatime 0 0\nUUID=1 /efi vfat\n"
    assert b"resize2fs /dev/mapper/var\n" in (added["etc/systemd/system/metallize-grow-var.service"].data or b"")
    fixed = encryption.additions(rootfs("usr/lib/metallize/open-var"), {**OPTIONS, "grow": False}, PARTITION)
    assert sorted(each.name for each in fixed) == ["etc/fstab", "usr/lib/metallize/encrypted-var"]


def test_the_layer_that_opens_it_must_be_there() -> None:
    with pytest.raises(ConversionError, match=r"debian-ab-tpm2\.dockerfile must be among the profile's images"):
        list(encryption.additions(rootfs(), OPTIONS, PARTITION))


def test_both_ends_know_the_line_of_text() -> None:
    text = (ROOT / "layers" / "debian-ab-tpm2" / "open-var").read_text()
    assert f"marker='{encryption.MARKER.decode().rstrip()}'\n" in text
    generator = yaml.safe_load((ROOT / "generators" / "ab" / "generator.yaml").read_text())
    assert generator["options"]["encrypt"]["default"] == "none"
    assert "PARTUUID={var_uuid} /var " in generator["fstab"], "what is replaced by the volume"
