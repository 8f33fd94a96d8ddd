"""boot.nics, boot.seed, boot.actions and boot.tpm: what is understood, and what is said of mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metallize.config import Vocabulary, profile_schema
from metallize.model.boot import LinkState, SeedFile
from tests.unit.config.conftest import GOOD, Load, Problems

KEYS = """\
  tpm: true
  nics: [{name: leg0}, {mac: "52:54:00:aa:bb:01", network: lan, device: e1000e}]
  seed:
    user-data: |
      #cloud-config
      hostname: web
    meta-data: {instance-id: i-1, local-hostname: web}
    network-config: cloud.net
  actions:
    - title: the cable is pulled
      link: {leg0: down, nic1: up}
      assert: {service: {ssh: {running: true}}}
"""


def test_everything_that_a_machine_can_be_given(load: Load, tmp_path: Path) -> None:
    (tmp_path / "cloud.net").write_text("version: 2\n")
    profile = load(GOOD + KEYS)
    boot = profile.boot
    assert boot is not None
    assert boot.tpm
    assert boot.nics is not None
    assert [(nic.name, nic.network, nic.mac) for nic in boot.nics] == [
        ("leg0", "host", None),
        (None, "lan", "52:54:00:aa:bb:01"),
    ]
    assert boot.seed[SeedFile.USER_DATA] == "#cloud-config\nhostname: web\n"
    assert json.loads(boot.seed[SeedFile.META_DATA]) == {"instance-id": "i-1", "local-hostname": "web"}
    assert boot.seed[SeedFile.NETWORK_CONFIG] == "version: 2\n"
    [action] = boot.actions
    assert action.link == {"leg0": LinkState.DOWN, "nic1": LinkState.UP}
    assert [(each.kind, each.action) for each in profile.assertions] == [("service", None), ("service", 0)]


def test_user_data_as_a_mapping_is_a_cloud_config(load: Load) -> None:
    boot = load(GOOD + "  seed: {user-data: {hostname: web, ssh_pwauth: false}}\n").boot
    assert boot is not None
    first, _, rest = boot.seed[SeedFile.USER_DATA].partition("\n")
    assert first == "#cloud-config"
    assert yaml.safe_load(rest) == {"hostname": "web", "ssh_pwauth": False}


def test_the_schema_knows_them(vocabulary: Vocabulary) -> None:
    schema: dict[str, Any] = profile_schema(vocabulary)
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(GOOD + KEYS))
    assert not jsonschema.Draft202012Validator(schema).is_valid(yaml.safe_load(GOOD + "  nics: []\n"))


@pytest.mark.parametrize(
    ("keys", "place", "said"),
    [
        ("  nics: []\n", "14:", "a list of 1 to 12"),
        ("  nics: [{network: lan}]\n", "14:", "the first network card is on the network `host`"),
        ("  nics: [{name: a}, {name: a}]\n", "14:", "two network cards have the same name, address or number"),
        ("  nics: [{onboard: 1}, {onboard: 1}]\n", "14:", "two network cards have the same name, address or number"),
        ("  nics: [{onboard: 256}]\n", "14:", "less than or equal to 255"),
        ("  nics: [{}, {name: nic0}]\n", "14:", "two network cards have the same name, address or number"),
        ('  nics: [{mac: "01:00:5e:00:00:01"}]\n', "14:", "does not have the form"),
        ("  nics: [{nam: a}]\n", "14:11", "unknown key `nam` (did you mean `name`?)"),
        ("  seed: {userdata: x}\n", "14:10", "unknown key `userdata` (did you mean `user-data`?)"),
        ("  seed: {user-data: none.yaml}\n", "14:21", "cannot be read: No such file or directory"),
        ("  seed: {user-data: ../x}\n", "14:21", "it leaves its folder with `..`"),
        ("  seed: {}\n", "14:3", "cloud-init is told nothing"),
        ("  actions: []\n", "14:3", "`actions` is empty"),
        ("  actions: [{title: x, link: {nic1: down}}]\n", "14:31", "`nic1` is no network card of every machine"),
        ("  actions: [{title: x, link: {nic0: of}}]\n", "14:37", "`of` is not one of up, down"),
        ("  actions: [{title: x}]\n", "14:", "`link` is missing"),
        ("  actions: [{title: x, link: {nic0: down}, assert: {}}]\n", "14:44", "asserts nothing"),
    ],
)
def test_mistakes(keys: str, place: str, said: str, problems: Problems) -> None:
    [problem] = problems(GOOD + keys)
    assert str(problem.location).partition(":")[2].startswith(place)
    assert said in str(problem)


def test_only_an_archive_is_booted_from_the_network(problems: Problems) -> None:
    [problem] = problems("[seabios, ovmf]", "{seabios: {media: network}}")
    assert "an image of format iso cannot be booted from `network`" in problem.message
    assert str(problem.location).partition(".yaml:")[2].startswith("10:")


def test_an_action_needs_a_shell_and_its_cards_on_every_machine(problems: Problems) -> None:
    text = GOOD.replace("  login: {user: admin, password: admin}\n", "")
    told = {problem.message for problem in problems(text + "  actions: [{title: x, link: {nic0: down}}]\n")}
    assert told == {"`assert` needs a shell in which to observe", "`actions` need a shell in which to observe"}
    text = GOOD.replace("[seabios, ovmf]", "{seabios: {nics: [{name: a}]}, ovmf: {}}")
    [problem] = problems(text + "  actions: [{title: x, link: {a: down}}]\n")
    assert "`a` is no network card of every machine" in problem.message
