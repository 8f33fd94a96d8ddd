"""Every entry of the catalogue tells of itself, and what it tells is true."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from metallize.catalog import Catalog, render_explain, render_list
from metallize.config import load_profile, load_suite
from metallize.model.catalogue import Generator, Layer
from metallize.model.kind import Include, Kind, ResourceOptions
from metallize.model.machine import Machine

CATALOG = Catalog()
VOCABULARY = CATALOG.vocabulary()
ROOT = Path(__file__).resolve().parents[2]


def test_nothing_that_is_there_is_missed() -> None:
    def folder(path: str, pattern: str) -> set[Path]:
        return {file for file in (ROOT / path).glob(pattern) if not file.name.startswith("_")}

    assert len(CATALOG.layers) == len(folder("layers", "*.dockerfile") | folder("layers", "*/Dockerfile"))
    assert len(CATALOG.generators) == len(folder("generators", "*/generator.yaml"))
    assert len(CATALOG.machines) == len(folder("metallize/machines", "*.py"))
    assert len(CATALOG.suites) == len(folder("boot-tests", "*.yaml"))
    assert len(CATALOG.profiles) == len(folder("profiles", "*.yaml"))


@pytest.mark.parametrize("layer", CATALOG.layers.values(), ids=lambda layer: layer.name)
def test_a_layer(layer: Layer) -> None:
    assert layer.summary
    assert len(layer.summary) <= 160
    assert layer.supports, f"{layer.name} does not say `# supports: debian:13 ...`"
    text = layer.path.read_text()
    assert "ARG METALLIZE_SRC_IMG" in text
    assert "FROM ${METALLIZE_SRC_IMG}" in text
    assert all(argument.description for argument in layer.arguments), "an ARG has no comment above it"
    assert layer.summary.split()[0] in render_explain(CATALOG, layer.name)


@pytest.mark.parametrize("generator", CATALOG.generators.values(), ids=lambda generator: generator.name)
def test_a_generator(generator: Generator, tmp_path: Path) -> None:
    assert generator.name == generator.folder.name
    assert generator.summary
    assert generator.description
    assert set(generator.machines) <= set(CATALOG.machines)
    assert all(generator.boots_on(CATALOG.machines[name]) for name in generator.machines)
    assert bool(generator.machines) == bool(generator.firmware), "what boots is verified, if nobody says where"
    for option in generator.options.values():
        assert option.description
        assert option.default is None or not option.choices or option.default in option.choices
    example = yaml.safe_load(generator.example)
    assert example["output"]["generator"] == generator.name
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump({"images": ["debian:trixie"], "platform": str(generator.platforms[0]), **example}))
    profile = load_profile(path, vocabulary=VOCABULARY)
    assert profile.output.generator == generator.name


@pytest.mark.parametrize("name", CATALOG.machines)
def test_a_machine(name: str) -> None:
    module = importlib.import_module(f"metallize.machines.{name.replace('-', '_')}")
    assert isinstance(module.MACHINE, Machine)
    assert module.MACHINE is CATALOG.machines[name]
    assert CATALOG.machines[name].summary
    assert set(module.MACHINE.suites) <= set(CATALOG.suites)
    boots = [generator for generator in CATALOG.generators.values() if generator.boots_on(CATALOG.machines[name])]
    assert boots, f"no generator makes an image that {name} boots"


@pytest.mark.parametrize("kind", CATALOG.kinds.values(), ids=lambda kind: kind.name)
def test_an_assertion_kind(kind: Kind, tmp_path: Path) -> None:
    module = importlib.import_module(f"metallize.checks.{kind.name.replace('-', '_')}")
    assert kind is module.KIND
    assert kind.summary
    assert issubclass(kind.options, ResourceOptions)
    path = tmp_path / "goss.yaml"
    path.write_text(yaml.safe_dump({kind.name: yaml.safe_load(kind.example)}))
    if issubclass(kind.options, Include):
        [named] = yaml.safe_load(kind.example)
        included = tmp_path / named.replace("*", "x")
        included.parent.mkdir(exist_ok=True)
        included.write_text("matching: {x: {content: a, matches: a}}\n")
    (assertion,) = load_suite(path, vocabulary=VOCABULARY)
    seen = VOCABULARY.kinds[assertion.kind].probe(assertion.resource, assertion.options)
    assert bool(seen) is (assertion.kind != "matching"), "only what stands in the file itself needs no look"
    schema = kind.options.model_json_schema()
    assert schema["additionalProperties"] is False
    assert {"title", "meta", "skip"} <= set(schema["properties"])


@pytest.mark.parametrize("name", CATALOG.suites)
def test_a_suite(name: str) -> None:
    assert load_suite(CATALOG.suites[name], vocabulary=VOCABULARY)
    assert CATALOG.suites[name].read_text().startswith("# ")


@pytest.mark.parametrize("name", CATALOG.profiles)
def test_a_profile(name: str) -> None:
    profile = load_profile(CATALOG.profiles[name], vocabulary=VOCABULARY)
    assert profile.name == name
    assert profile.boot is not None
    assert profile.assertions, "a shipped profile asserts something"


def test_list_and_explain_know_every_name() -> None:
    text = render_list(CATALOG)
    for names in (
        CATALOG.layers,
        CATALOG.generators,
        CATALOG.machines,
        CATALOG.kinds,
        CATALOG.suites,
        CATALOG.profiles,
    ):
        for name in names:
            assert name in text
            assert render_explain(CATALOG, name)
