"""A probe of several resources sees of each what its own probe does; run for real by this host's sh."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from metallize.config import load_suite
from metallize.model.assertion import Assertion
from metallize.model.kind import Claim, Kind, Observation, Survey
from metallize.verify.looks.batch import SharedProbe, make_batch, read_batch
from tests.unit.checks.conftest import kinds, vocabulary

SYSTEMCTL = """\
#!/bin/sh
# As systemctl(1) answers of a unit, of one by its alias, and of one that is not there.
verb=$1
shift
while [ "$1" != -- ]; do shift; done
shift
[ "$verb" = is-enabled ] && case $1 in
  ssh) echo enabled; exit 0 ;;
  *) echo not-found; exit 4 ;;
esac
first=yes
for name; do
  [ "$first" ] || echo
  first=
  case $name in
    ssh | sshd) printf '%s\\n' 'Result=success' 'Names=ssh.service sshd.service' 'LoadState=loaded' 'ActiveState=active' 'SubState=running' ;;
    odd) printf '%s\\n' 'Result=success' 'Names=other.service' 'LoadState=loaded' 'ActiveState=active' 'SubState=dead' ;;
    *) printf '%s\\n' 'Result=success' "Names=$name.service" 'LoadState=not-found' 'ActiveState=inactive' 'SubState=dead' ;;
  esac
done
"""  # noqa: E501 - a unit's block is one line


def assertions_of(folder: Path, kind: str, resources: dict[str, Any]) -> tuple[Assertion, ...]:
    path = folder / "goss.yaml"
    path.write_text(yaml.safe_dump({kind: resources}))
    return tuple(load_suite(path, vocabulary=vocabulary()))


def observe(probes: list[str], shared: list[SharedProbe], path: str = "") -> tuple[Observation | None, ...]:
    batch = make_batch(probes, password=None, shared=shared)
    environment = {**os.environ, "PATH": f"{path}:{os.environ['PATH']}"} if path else None
    shell = shutil.which("dash") or "sh"
    done = subprocess.run([shell], input=batch.script.encode(), capture_output=True, check=False, env=environment)
    answer = read_batch(batch, done.stdout)
    assert answer.complete
    return answer.observations


def survey_of(kind: Kind, assertions: tuple[Assertion, ...]) -> Survey:
    survey = kind.survey([(each.resource, each.options) for each in assertions])
    assert survey is not None
    return survey


def judged(kind: Kind, each: Assertion, seen: Observation | None) -> tuple[Claim, ...]:
    assert seen is not None
    return tuple(kind.judge(each.resource, each.options, seen))


RESOURCES: dict[str, dict[str, Any]] = {
    "file": {
        "/etc/passwd": {"exists": True, "owner": "root", "mode": "0644", "filetype": "file"},
        "/etc": {"exists": True, "filetype": "directory"},
        "/usr": {"exists": True, "gid": 1},
        "/proc/self/exe": {"exists": True, "filetype": "symlink"},
        "/no/such/file": {"exists": True, "owner": "root"},
        "/nor/this": {"exists": False},
        "/dev/null": {"exists": True, "filetype": "character-device", "size": 0},
    },
    "user": {
        "root": {"exists": True, "uid": 0, "home": "/root"},
        "daemon": {"exists": True, "uid": 77},
        "nobody-of-that-name": {"exists": False},
    },
    "group": {"root": {"exists": True, "gid": 0}, "daemon": {"exists": True}, "no-such-group": {"exists": True}},
    "mount": {
        "/": {"exists": True},
        "/proc": {"exists": True, "filesystem": "proc"},
        "/proc/": {"exists": True, "filesystem": "ext4"},
        "/nowhere": {"exists": False},
    },
    "kernel-param": {
        "kernel.ostype": {"value": "Linux"},
        "net.ipv4.ip_forward": {"value": "7"},
        "kernel.printk": {"value": "/^[0-9]/"},
    },
    "port": {
        "tcp:22": {"listening": False},
        "tcp6:22": {"listening": True},
        "udp:65000": {"listening": False},
        "9": {"listening": True},
    },
    "interface": {"lo": {"exists": True, "mtu": 65536}, "no-such0": {"exists": True}, "eth7": {"exists": False}},
    "package": {
        "dpkg": {"installed": True},
        "libc6": {"installed": True, "versions": ["1.0"]},
        "no-such-package": {"installed": False},
        "base-files": {"installed": True},
    },
}  # fmt: skip


@pytest.mark.parametrize("name", RESOURCES)
def test_what_it_sees_of_each_is_what_the_probe_of_one_sees(tmp_path: Path, name: str) -> None:
    kind = kinds()[name]
    assertions = assertions_of(tmp_path, name, RESOURCES[name])
    survey = survey_of(kind, assertions)
    numbers = {key: number for number, key in enumerate(survey.keys) if key is not None}
    probes = [kind.probe(each.resource, each.options) for each in assertions]
    alone, together = observe(probes, []), observe(probes, [SharedProbe(script=survey.script, numbers=numbers)])
    assert len(numbers) >= 2
    for each, one, other in zip(assertions, alone, together, strict=True):
        assert judged(kind, each, one) == judged(kind, each, other), each.resource


def test_services(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "systemctl").chmod(0o755)
    kind = kinds()["service"]
    claims = {"enabled": True, "running": True}
    names = {
        "ssh": claims,
        "sshd": {"running": True},
        "gone": claims,
        "odd": {"running": True},
        "gone2": {"running": False},
    }
    assertions = assertions_of(tmp_path, "service", names)  # fmt: skip
    survey = survey_of(kind, assertions)
    numbers = {key: number for number, key in enumerate(survey.keys) if key is not None}
    here = str(tmp_path)
    probes = [kind.probe(each.resource, each.options).replace("/run/systemd/system", here) for each in assertions]
    shared = SharedProbe(script=survey.script.replace("/run/systemd/system", here), numbers=numbers)
    alone, together = observe(probes, [], path=here), observe(probes, [shared], path=here)
    titles = [each.resource for each in assertions]
    assert together[titles.index("odd")] is None, "a block of another unit is nobody's"
    for each, one, other in zip(assertions, alone, together, strict=True):
        if each.resource != "odd":
            assert judged(kind, each, one) == judged(kind, each, other), each.resource


def test_where_systemd_does_not_answer_nothing_is_said_of_services(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    (tmp_path / "systemctl").chmod(0o755)
    claims = {"enabled": True, "running": True}
    survey = survey_of(kinds()["service"], assertions_of(tmp_path, "service", {"ssh": claims, "cron": claims}))
    shared = SharedProbe(
        script=survey.script.replace("/run/systemd/system", str(tmp_path)), numbers={"ssh": 0, "cron": 1}
    )
    assert observe([":", ":"], [shared], path=str(tmp_path)) == (None, None)


@pytest.mark.parametrize(
    ("name", "resources"),
    [
        ("file", {"/a b": {"exists": True}, "/c": {"exists": True}, "~root": {"exists": True}}),
        ("file", {"/a": {"exists": True, "contents": ["x"]}, "/c": {"exists": True, "sha256": "0" * 64}}),
        ("file", {"/c": {"exists": True}, "c": {"path": "/c", "exists": True, "mode": "0755"}}),
        ("package", {"libc6:amd64": {"installed": True}, "dpkg*": {"installed": True}, "dpkg": {"installed": True}}),
        ("service", {"ssh": {"running": True}, "$(reboot)": {"running": True}, "a*": {"running": True}}),
        ("user", {"root": {"exists": True, "groups": ["root"]}, "bin": {"exists": True}}),
        ("mount", {"/": {"exists": True, "usage": {"lt": 90}}, "/proc": {"exists": True}}),
        ("command", {"true": {"exit-status": 0}, "false": {"exit-status": 1}}),
        ("process", {"systemd": {"running": True}, "sshd": {"running": True}}),
        ("port", {"tcp:22": {"listening": True}, "22": {"listening": True}}),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_what_needs_a_look_of_its_own_gets_one(tmp_path: Path, name: str, resources: dict[str, Any]) -> None:
    """One that is left over needs no shared probe, unless root's rights are not needed."""
    assertions = assertions_of(tmp_path, name, resources)
    survey = kinds()[name].survey([(each.resource, each.options) for each in assertions])
    assert survey is None or (survey.rootless and len(survey.keys) - survey.keys.count(None) == 1)


def test_what_a_plain_user_cannot_read_is_not_told(tmp_path: Path) -> None:
    """Root is asked of it by itself."""
    values = {"kernel.ostype": {"value": "Linux"}, "no.such.parameter": {"value": "x"}}
    survey = survey_of(kinds()["kernel-param"], assertions_of(tmp_path, "kernel-param", values))
    shared = SharedProbe(script=survey.script, numbers={key: n for n, key in enumerate(survey.keys) if key})
    seen, unseen = observe([":", ":"], [shared])
    assert seen is not None
    assert unseen is None
