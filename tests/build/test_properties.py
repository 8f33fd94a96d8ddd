"""What a layer says of a file is what the image says of it: owner, mode, links, extended attributes, content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from metallize.build.engines import buildkit
from metallize.command import run
from tests.conftest import Cli

from .conftest import HEADER, SYSTEM, Site

pytestmark = pytest.mark.docker

LAYER = rf"""{HEADER}
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \
    apt-get update && apt-get install -y --no-install-recommends attr acl libcap2-bin
RUN mkdir /p && cd /p \
 && echo x >owned && chown 1234:54321 owned && chmod 640 owned \
 && echo x >huge-owner && chown 3000000:3000001 huge-owner \
 && echo x >setuid && chmod 4755 setuid && echo x >setgid && chmod 2755 setgid \
 && mkdir sticky && chmod 1777 sticky && mkdir shared && chmod 2770 shared \
 && echo x >one && ln one two && ln one three \
 && ln -s "zu ä" link && mkfifo -m 600 fifo \
 && echo x >note && setfattr -n user.note -v 'a=b c' note \
 && cp /bin/true capable && setcap cap_net_raw+ep capable \
 && echo x >acl && setfacl -m u:1234:rw acl \
 && echo x >'odd \ name' && setfattr -n user.odd -v 0x000aff 'odd \ name' && ln 'odd \ name' other-name \
 && echo x >'ünï 日本' && truncate -s 50M sparse && echo end >>sparse && : >empty \
 && echo x >"$(printf 'n%.0s' $(seq 250))" \
 && touch -d @1000000000 old && touch -d @4000000000 future
"""


@dataclass(frozen=True, kw_only=True)
class Told:
    """What an image says of a file."""

    mode: str
    uid: int
    gid: int
    inode: int
    mtime: int
    content: str
    attributes: Mapping[str, str]


FILES: dict[str, tuple[str, int, int]] = {
    "owned": ("100640", 1234, 54321),
    "huge-owner": ("100644", 3000000, 3000001),
    "setuid": ("104755", 0, 0),
    "setgid": ("102755", 0, 0),
    "sticky": ("41777", 0, 0),
    "shared": ("42770", 0, 0),
    "one": ("100644", 0, 0),
    "link": ("120777", 0, 0),
    "fifo": ("10600", 0, 0),
    "note": ("100644", 0, 0),
    "capable": ("100755", 0, 0),
    "ünï 日本": ("100644", 0, 0),
    "sparse": ("100644", 0, 0),
    "empty": ("100644", 0, 0),
    "n" * 250: ("100644", 0, 0),
}
REPORT = r"""
import hashlib, json, os
found = {}
for name in os.listdir("/work/p"):
    path = "/work/p/" + name
    info = os.lstat(path)
    digest = ""
    if os.path.isfile(path) and not os.path.islink(path):
        digest = hashlib.sha256(open(path, "rb").read()).hexdigest()
    found[name] = {
        "mode": oct(info.st_mode)[2:], "uid": info.st_uid, "gid": info.st_gid, "inode": info.st_ino,
        "mtime": int(info.st_mtime), "content": os.readlink(path) if os.path.islink(path) else digest,
        "attributes": {n: os.getxattr(path, n, follow_symlinks=False).hex()
                       for n in os.listxattr(path, follow_symlinks=False)},
    }
print(json.dumps(found))
"""
EXTRACT = """
osirrox -indev /image -extract /live/filesystem.squashfs /work/s >&2
unsquashfs -quiet -no-progress -dest /work/t /work/s p >&2
mv /work/t/p /work/p
"""


def in_tools(image: Path, script: str) -> str:
    """What a shell script prints in a container of the generator that made the image, with the image at /image."""
    tools = json.loads(Path(f"{image}.manifest.json").read_text())["generator"]["digest"]
    argv = [str(buildkit.find_cli().path), "run", "--rm", "--network", "none", "--tmpfs", "/work"]
    return run([*argv, "--volume", f"{image}:/image:ro", tools, "sh", "-euc", script]).stdout


def told_by_squashfs(image: Path) -> dict[str, Told]:
    found = json.loads(in_tools(image, f"{EXTRACT}\npython3 - <<'END'\n{REPORT}\nEND\n"))
    return {name: Told(**fields) for name, fields in found.items()}


def told_by_ext4(image: Path) -> dict[str, Told]:
    """By debugfs(8) from the third partition, at 64 MiB; content and times by what it dumps."""
    script = f"""
    disk='/image?offset=67108864'
    debugfs -R 'rdump /p /work' "$disk" >&2 || true
    debugfs -R 'ls -p /p' "$disk" 2>/dev/null
    echo ==
    for name in note capable acl; do debugfs -R "ea_list /p/$name" "$disk" 2>/dev/null | sed "s/^/$name /"; done
    echo ==
    python3 - <<'END'\n{REPORT}\nEND
    """
    listing, attributes, report = in_tools(image, script).split("==\n")
    content = json.loads(report)
    rows = {}
    for line in listing.splitlines():
        _, inode, mode, uid, gid, name, *_ = [*line.split("/"), *[""] * 6]
        if name not in ("", ".", ".."):
            rows[name] = Told(
                mode=mode.lstrip("0"),
                uid=int(uid),
                gid=int(gid),
                inode=int(inode),
                mtime=content.get(name, {}).get("mtime", 0),
                content=content.get(name, {}).get("content", ""),
                attributes={word.split()[1]: word for word in attributes.splitlines() if word.startswith(f"{name} ")},
            )
    return rows


READERS: dict[str, tuple[str, Callable[[Path], dict[str, Told]]]] = {
    "livecd": ("p.iso", told_by_squashfs),
    "ext4": ("p.img", told_by_ext4),
}


@pytest.fixture(scope="module")
def site_of_all(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("properties"))
    site.layer("system.dockerfile", SYSTEM)
    site.layer("properties.dockerfile", LAYER)
    return site


@pytest.fixture(scope="module", params=READERS)
def told(request: pytest.FixtureRequest, site_of_all: Site, cli: Cli) -> dict[str, Told]:
    """What each kind of image says of the files in /p."""
    file, read = READERS[request.param]
    layers = ("system.dockerfile", "properties.dockerfile")
    done = cli("build", site_of_all.profile(file, *layers, generator=request.param), cwd=site_of_all.folder)
    assert done.status == 0, done.stderr
    return read(site_of_all.build / file)


@pytest.mark.parametrize("name", FILES)
def test_owner_and_mode(told: dict[str, Told], name: str) -> None:
    found = told[name]
    assert (found.mode, found.uid, found.gid) == FILES[name]


def test_hard_links_are_one_file(told: dict[str, Told]) -> None:
    assert told["one"].inode == told["two"].inode == told["three"].inode


def test_content(told: dict[str, Told]) -> None:
    assert told["link"].content == "zu ä"
    assert told["ünï 日本"].content == hashlib.sha256(b"x\n").hexdigest()
    assert told["sparse"].content == hashlib.sha256(bytes(50 << 20) + b"end\n").hexdigest()


def test_extended_attributes_and_capabilities(told: dict[str, Told]) -> None:
    assert "user.note" in told["note"].attributes
    assert "security.capability" in told["capable"].attributes


def test_an_attribute_of_an_odd_name_and_of_a_hard_link(told: dict[str, Told], request: pytest.FixtureRequest) -> None:
    assert told["odd \\ name"].inode == told["other-name"].inode
    if "[livecd]" in request.node.name:
        assert told["odd \\ name"].attributes == told["other-name"].attributes == {"user.odd": "000aff"}


def test_acls_where_the_filesystem_has_them(told: dict[str, Told], request: pytest.FixtureRequest) -> None:
    # squashfs has none (its xattrs are user, trusted and security): mode and owner stay.
    on_disk = "[ext4]" in request.node.name
    assert ("system.posix_acl_access" in told["acl"].attributes) is on_disk
    assert told["acl"].mode == "100664"


def test_what_a_layer_made_has_the_time_of_the_newest_package(told: dict[str, Told], site_of_all: Site) -> None:
    manifest = json.loads(next(site_of_all.build.glob("*.manifest.json")).read_text())
    assert told["old"].mtime == told["future"].mtime == manifest["source_date_epoch"]
    newest = datetime.fromisoformat(manifest["package_snapshot"]["newest"])
    assert newest.timestamp() == manifest["source_date_epoch"]
