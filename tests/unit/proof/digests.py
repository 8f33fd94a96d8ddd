"""Prints, as this process digests them, every assertion kind's example, every matcher and every key of `boot`."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from metallize.asked import asked_of
from metallize.catalog import Catalog
from metallize.checks.decoding import MATCHERS
from metallize.config import load_suite
from metallize.machines import seabios
from metallize.model.assertion import Assertion, Group
from metallize.model.boot import Boot
from metallize.model.kind import Include
from metallize.model.profile import ImageFormat
from metallize.verify import VerifyRequest

SAMPLES: dict[str, Any] = {
    "equal": ["a", {"b": 1.5}],
    "have-prefix": "a",
    "have-suffix": "a",
    "contain-substring": "a",
    "match-regexp": "a+b?",
    "contain-element": "a",
    "contain-elements": ["a", {"have-prefix": "b"}],
    "consist-of": ["a", {"gt": 1}],
    "have-len": 3,
    "have-key": "a",
    "have-key-with-value": {"a": 1, "b": {"match-regexp": "x"}},
    "have-patterns": ["a", "!b", "/c+/", "!/d/i"],
    "gt": 1,
    "ge": 1.5,
    "lt": 1,
    "le": 1,
    "semver-constraint": ">1.0.0 <2.0.0 !=1.5.0 || >=3.x",
    "gjson": {"a.b*.#(c==1)#.d": {"equal": 1}, "e.@keys": {"have-len": 2}},
    "not": {"semver-constraint": ">1.0.0"},
    "and": [{"semver-constraint": ">1.0.0"}, {"gjson": {"a": 1}}],
    "or": ["a", {"match-regexp": "b"}],
}
"""A value of every matcher."""
BOOT: dict[str, Any] = {
    "memory": "2G",
    "cpus": 1,
    "disk": "9G",
    "timeout": "9m",
    "settle": "9s",
    "init": "other",
    "internet": True,
    "tpm": True,
    "nics": [{"name": "a"}, {"network": "b"}],
    "seed": {"user-data": "#cloud-config\n", "meta-data": "a\nb\n"},
    "login": {"user": "admin", "password": "secret"},
    "ssh": {"user": "admin", "key": "ephemeral"},
    "console": {"forbid": ("a",)},
    "suites": ("a",),
    "reach": {"tcp:22": {"banner": "SSH"}, "http://:80/": {"status": 200}},
    "expect": "refused",
    "steps": [{"expect": "a", "send": "b"}],
    "time": {"ready": "9s", "units": {"a.service": "1s", "b.service": "2s"}},
    "reboot": True,
    "power_cut": {"seed": 1},
    "update": {"from": "old.img", "install": ["a"], "version": "b"},
    "actions": [{"title": "t", "link": {"a": "down", "b": "up"}}],
    "tamper": ("uki",),
    "display": True,
    "capture": True,
}
"""Another value than the default of every key that is asked."""


def request(catalog: Catalog, **changes: Any) -> VerifyRequest:
    values: dict[str, Any] = {
        "image": Path("x.img"),
        "image_format": ImageFormat.RAW,
        "boot": Boot(),
        "assertions": (),
        "machine_entry": "seabios",
        "machine": catalog.machines["seabios"],
        "kinds": catalog.kinds,
        "runs_dir": Path("runs"),
    }
    return VerifyRequest(**{**values, **changes})


def asserted(catalog: Catalog, content: dict[str, Any] | str) -> tuple[Assertion, ...]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "goss.yaml")
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return load_suite(path, vocabulary=catalog.vocabulary())


def everything(catalog: Catalog) -> dict[str, VerifyRequest]:
    """A request of its own for each thing that can be asked."""
    found = {}
    for name, kind in catalog.kinds.items():
        if issubclass(kind.options, Include):
            continue  # no claim itself, and gone once the file is read
        lines = "".join(f"  {line}\n" for line in kind.example.splitlines())
        found[f"kind {name}"] = request(catalog, assertions=asserted(catalog, f"{name}:\n{lines}"))
    for name, value in SAMPLES.items():
        matched = asserted(catalog, {"matching": {"a": {"content": "x", "matches": {name: value}}}})
        found[f"matcher {name}"] = request(catalog, assertions=matched)
    headers = {"http://a/": {"status": 200, "headers": ["!a", "/b/"], "body": {"gjson": {"a": {"gt": 1}}}}}
    found["http"] = request(catalog, assertions=asserted(catalog, {"http": headers}))
    for name, value in BOOT.items():
        found[f"boot {name}"] = request(catalog, boot=Boot.model_validate({name: value}))
    [assertion] = asserted(catalog, {"file": {"/a": {"exists": True}}})
    group = Group(name="g", run=("a", "b"), assertions=(assertion,), location=assertion.location)
    found["group"] = request(catalog, groups=(group,))
    found["another group"] = request(catalog, groups=(replace(group, run=("b", "a")),))
    found["assertion"] = request(catalog, assertions=(assertion,))
    found["after an action"] = request(catalog, assertions=(replace(assertion, action=0),))
    found["nothing"] = request(catalog)
    found["another machine"] = request(catalog, machine=replace(seabios.MACHINE, cpu_emulated="max"))
    return found


if __name__ == "__main__":
    assert set(SAMPLES) == set(MATCHERS)
    assert set(BOOT) == set(Boot.model_fields) - {"machines"}
    json.dump({name: asked_of(each).id for name, each in everything(Catalog()).items()}, sys.stdout)
