"""The JSON Schema that editors use says what the loader says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metallize.config import Vocabulary, profile_schema
from tests.unit.config.conftest import GOOD
from tests.unit.config.test_good_profiles import ORIGINAL

HERE = Path(__file__).parent
SHIPPED = sorted((HERE.parents[2] / "profiles").glob("*.yaml"))


@pytest.fixture(scope="session")
def schema(vocabulary: Vocabulary) -> dict[str, Any]:
    return profile_schema(vocabulary)


@pytest.fixture(scope="session")
def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_is_one(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("path", [HERE / "fixtures/profile-of-the-docs.yaml", *SHIPPED], ids=lambda path: path.stem)
def test_good_profiles_are_valid(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(yaml.safe_load(path.read_text()))


def test_the_original_format_is_valid(validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(yaml.safe_load(ORIGINAL.replace("GENERATOR", "livecd").replace("FILE", "output-file: x.iso")))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("args:", "arg:"),
        ("livecd", "livecdd"),
        ("seabios", "seabois"),
        ("[seabios, ovmf]", "[]"),
        ("service:", "servce:"),
        ("enabled:", "enabeld:"),
        ("my.iso", "my.iso\n  options: {nope: 1}"),
        ("login:", "memory: 1X\n  login:"),
        ("  file: my.iso\n", ""),
    ],
)
def test_bad_profiles_are_not(old: str, new: str, validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(yaml.safe_load(GOOD.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("extends: debian13-cloud\noutput: {file: web.qcow2}\n", True),
        ("extends: debian13-cloud\noutput: {generator: livecd, options: {margin: 1G}}\n", False),
        ("images: [a]\noutput: {generator: ext4}\noutputs: [{file: a.raw}, {file: b.raw}]\n", True),
        ("images: [a]\noutput: {file: web.qcow2}\n", False),
    ],
)
def test_what_somebody_else_says_already_may_be_left_out(
    text: str, good: bool, validator: jsonschema.Draft202012Validator
) -> None:
    assert validator.is_valid(yaml.safe_load(text)) is good


def test_every_key_of_a_section_is_described(schema: dict[str, Any]) -> None:
    for name in ("Output", "Boot", "FileOptions", "CommandOptions"):
        assert schema["$defs"][name]["description"]
    assert all(
        "description" in value or "$ref" in value for value in schema["properties"].values() if "anyOf" not in value
    )
