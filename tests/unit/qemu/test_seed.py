"""The seed is an ISO 9660 file system, read here by the standard's own words (ECMA-119)."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from metallize.model.boot import SeedFile
from metallize.qemu.seed import seed_image

SECTOR = 2048


def read(image: bytes) -> tuple[str, dict[str, str]]:
    """The label and the files, found by way of the volume descriptor and the root folder."""
    volume = image[16 * SECTOR : 17 * SECTOR]
    assert volume[:7] == b"\1CD001\1"
    assert image[17 * SECTOR : 17 * SECTOR + 7] == b"\xffCD001\1"
    assert struct.unpack("<I", volume[80:84]) == (len(image) // SECTOR,) == struct.unpack(">I", volume[84:88])
    assert struct.unpack("<H", volume[128:130]) == (SECTOR,)
    root = volume[156:190]
    place, size = struct.unpack("<I", root[2:6])[0] * SECTOR, struct.unpack("<I", root[10:14])[0]
    files, records = {}, image[place : place + size]
    while records and records[0]:
        record, records = records[: records[0]], records[records[0] :]
        name = record[33 : 33 + record[32]]
        begin, length = struct.unpack("<I", record[2:6])[0] * SECTOR, struct.unpack("<I", record[10:14])[0]
        assert (begin, length) == (
            struct.unpack(">I", record[6:10])[0] * SECTOR,
            struct.unpack(">I", record[14:18])[0],
        )
        assert len(record) % 2 == 0
        if not record[25] & 2:
            files[name.decode()] = image[begin : begin + length].decode()
    return volume[40:72].decode().rstrip(), files


@given(st.dictionaries(st.sampled_from([str(name) for name in SeedFile]), st.text(max_size=5000)))
def test_what_is_put_in_is_read_back(files: dict[str, str]) -> None:
    image = seed_image(files)
    assert len(image) % SECTOR == 0
    assert image == seed_image(dict(reversed(files.items())))
    label, found = read(image)
    assert label == "cidata"
    assert {name: found[name] for name in files} == files


def test_what_cloud_init_insists_on_is_always_there() -> None:
    _, found = read(seed_image({"network-config": "version: 2\n"}))
    assert found == {
        "meta-data": "instance-id: metallize\n",
        "network-config": "version: 2\n",
        "user-data": "#cloud-config\n{}\n",
    }
