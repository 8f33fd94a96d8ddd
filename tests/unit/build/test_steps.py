"""The steps of a build: what each is made from, and what follows when that is something else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from metallize.build.currency import Changes, changes_since, known_images, known_to
from metallize.build.engines.engine import ImageInfo
from metallize.build.generator import DiskImage
from metallize.build.plan import BuildPlan
from metallize.build.stacks import Images, build_images, manifest_of
from metallize.build.step import Kind, Slot, Step, digest_of, filled, in_shell, key_of, pin_of, tag_of
from metallize.build.steps import Steps, image_key, steps_of
from metallize.command import run
from metallize.errors import EngineError, LayerError
from metallize.events import Outcome, StepFinished
from metallize.model.profile import ImageFormat, Platform
from tests.conftest import ROOT

from .conftest import FakeEngine, Layers, MakePlan, Recorder, image, profile

TRIXIE = "debian:trixie"


class House:
    """A plan, and an engine that has its base."""

    def __init__(self, plan: BuildPlan) -> None:
        self.plan, self.steps = plan, steps_of(plan)
        self.engine = FakeEngine(images={TRIXIE: image(TRIXIE)})
        self.events = Recorder()

    def build(self, *, fresh: bool = False, pull: bool = False) -> Images:
        self.engine.commands.clear()
        self.events.events.clear()
        return build_images(self.plan, self.steps, self.engine, self.events, fresh=fresh, pull=pull)

    @property
    def built(self) -> list[str]:
        """The repositories of the layers that were built."""
        tags = [words[words.index("--tag") + 1] for words in self.engine.commands if "--tag" in words]
        return sorted(tag.partition(":")[0].removeprefix("metallize/") for tag in tags)

    def manifest(self, images: Images, epoch: int = 1) -> dict[str, object]:
        made = DiskImage(path=self.plan.image, format=ImageFormat.ISO, size_bytes=1, sha256="0", facts={})
        return manifest_of(self.plan, self.steps, images, made, epoch)

    def changes(self, images: Images, epoch: int | None = 1, known: dict[str, str] | None = None) -> Changes:
        return changes_since(self.manifest(images), self.plan, self.steps, {**images.ids, **(known or {})}, epoch)


@pytest.fixture
def house(make_plan: MakePlan, layers: Layers) -> House:
    return House(make_plan(rootfs=[TRIXIE, layers.read("low.dockerfile"), layers.read("top.dockerfile")]))


def test_words_are_filled_in_and_printed() -> None:
    argv = ("a b", Slot(name="x", before="k='", after='"'), "$c")
    assert filled(argv, {"x": "1 2"}) == ("a b", "k='1 2\"", "$c")
    said = run(["sh", "-c", f"x='1 2' c=no; printf '%s|' {in_shell(argv)}"]).stdout
    assert said == "a b|k='1 2\"|$c|"
    with pytest.raises(KeyError):
        filled(argv, {})
    assert key_of(argv) != key_of(("a b", "k='<x>\"", "$c")), "a slot is no text that looks like one"


def test_a_tag_has_all_in_it_that_a_layer_is_built_from(house: House) -> None:
    [low, top] = [each for each in house.steps.rootfs if each.kind is Kind.LAYER]
    assert (low.inputs, top.inputs) == (("base",), ("layer_1",))
    tag = tag_of(low, ["sha256:1"])
    assert re.fullmatch(r"metallize/low:[0-9a-f]{16}", tag)
    assert len({tag, tag_of(low, ["sha256:2"]), tag_of(replace(low, key="0"), ["sha256:1"]), tag_of(top, [])}) == 4
    assert digest_of("a", "b") == hashlib.sha256(b"a\0b").hexdigest(), "as the printed plan reckons it"


def test_nothing_is_built_twice(house: House) -> None:
    first = house.build()
    assert house.built == ["generator-common", "low", "top"] or house.built[-2:] == ["low", "top"]
    again = house.build()
    assert (house.built, again.ids) == ([], first.ids)
    ends = [event.outcome for event in house.events.events if isinstance(event, StepFinished)]
    assert set(ends) == {Outcome.CACHED}
    assert not house.changes(first)


def test_a_shared_layer_that_somebody_else_built_again_builds_what_stands_on_it(house: House) -> None:
    first = house.build()
    shared = first.made["layer_1"].reference
    house.engine.images[shared] = replace(house.engine.images[shared], id="sha256:another")
    second = house.build()
    assert house.built == ["top"]
    assert second.made["layer_2"].id != first.made["layer_2"].id
    changes = changes_since(house.manifest(first), house.plan, house.steps, second.ids, 1)
    assert changes.moved == ("layer low.dockerfile",)
    assert str(changes) == "layer low.dockerfile was made again since"


def test_a_layer_that_was_removed_is_built_again_and_the_image_with_it(house: House) -> None:
    first = house.build()
    del house.engine.images[first.made["layer_2"].reference]
    assert changes_since(house.manifest(first), house.plan, house.steps, known_images(house.steps, house.engine)) == (
        Changes()
    ), "what the engine has not is taken to be what it was"
    second = house.build()
    assert house.built == ["top"]
    assert changes_since(house.manifest(first), house.plan, house.steps, second.ids, 1).moved == (
        "layer top.dockerfile",
    )


def test_another_base_under_the_same_tag_builds_everything_on_it(house: House) -> None:
    first = house.build()
    house.engine.images[TRIXIE] = replace(image(TRIXIE), id="sha256:newer")
    second = house.build()
    assert house.built[-2:] == ["low", "top"]
    assert "the base image" in changes_since(house.manifest(first), house.plan, house.steps, second.ids, 1).moved
    house.engine.images[TRIXIE] = image(TRIXIE)
    assert house.build().ids == first.ids
    assert house.built == [], "and what was built on the old one is still there"


def test_no_cache_builds_the_tools_too_and_pull_asks_for_the_base(house: House) -> None:
    first = house.build()
    plain = house.build(fresh=True)
    assert house.built == sorted(each.repository.removeprefix("metallize/") for each in (
        *house.plan.rootfs.layers, *house.plan.tools.layers
    ))  # fmt: skip
    assert all("--no-cache" in words for words in house.engine.commands)
    assert plain.ids["tool_1"] != first.ids["tool_1"]
    house.engine.registry[TRIXIE] = replace(image(TRIXIE), id="sha256:newer")
    pulled = house.build(pull=True)
    assert [words[0] for words in house.engine.commands].count("pull") == 1, "once for both stacks"
    assert pulled.ids["base"] == pulled.ids["tools_base"] == "sha256:newer"


def test_one_module_alone_says_whether_an_image_is_current() -> None:
    """What it was made from is reckoned in steps, written down in stacks, and read in currency."""
    package = ROOT / "metallize"
    texts = {str(path.relative_to(package)): path.read_text() for path in package.rglob("*.py")}
    reckon = {name for name, text in texts.items() if "image_key(" in text}
    assert reckon == {"build/steps.py", "build/stacks.py", "build/currency.py"}
    assert {name for name, text in texts.items() if '"inputs"' in text} == reckon - {"build/steps.py"}
    ask = {name for name, text in texts.items() if "changes_since(" in text} - {"build/currency.py"}
    assert ask == {"build/making.py", "images.py", "pytest_plugin/boots.py"}, "build, verify and publish, pytest"


def test_an_epoch_of_the_environment_is_an_input(house: House) -> None:
    made = house.build()
    assert house.changes(made, epoch=2).moved == ("SOURCE_DATE_EPOCH",)
    assert not house.changes(made, epoch=None)
    assert image_key(house.steps, made.ids, 1) != image_key(house.steps, {**made.ids, "tool_1": "sha256:0"}, 1)


@pytest.mark.parametrize(
    ("known", "words"),
    [("base", "the base image"), ("layer_1", "layer low.dockerfile"), ("tool_1", "the generator's tools")],
)
def test_what_was_made_again_is_named(house: House, known: str, words: str) -> None:
    assert words in house.changes(house.build(), known={known: "sha256:another"}).moved


def test_a_plan_that_says_something_else_is_named(house: House, make_plan: MakePlan, layers: Layers) -> None:
    made = house.build()
    other = make_plan(
        profile(args={}, output={"options": {"level": 3}, "kernel_boot_params": "quiet"}),
        rootfs=["debian:bookworm", layers.read("low.dockerfile"), layers.read("new.dockerfile")],
    )
    changes = changes_since(house.manifest(made), other, steps_of(other), {})
    assert changes.asked == (
        "the base image", "layer new.dockerfile", "the generator's options", "kernel_boot_params",
    )  # fmt: skip
    assert changes_since({}, other, steps_of(other), {}).asked[0] == "the base image"
    assert changes_since({"layers": "x", "base": 1, "generator": []}, other, steps_of(other), {})


class Moving(FakeEngine):
    """Another build gives a tag of ours to another image, as often as it is told, while ours is read."""

    moves = 1

    def run(self, argv: Sequence[str], output: Callable[[str], None]) -> list[str] | None:
        done = super().run(argv, output)
        low = [name for name in self.images if name.startswith("metallize/low:")]
        if low and self.moves and any("metallize/top" in word for word in argv):
            self.moves -= 1
            self.images[low[0]] = replace(self.images[low[0]], id=f"sha256:moved{self.moves}")
        return done


def test_what_stands_under_a_layer_may_move_while_it_is_built(house: House) -> None:
    house.engine = Moving(images={TRIXIE: image(TRIXIE)})
    images = house.build()
    low = images.made["layer_1"]
    assert house.engine.images[low.reference].id == "sha256:moved0", "the tag is another's by now"
    tops = [words for words in house.engine.commands if any("metallize/top" in word for word in words)]
    sources = [next(word for word in words if word.startswith("METALLIZE_SRC_IMG=")) for words in tops]
    assert sources == [f"METALLIZE_SRC_IMG={low.reference}", f"METALLIZE_SRC_IMG={pin_of(low.id)}"]


def test_what_a_dockerfile_names_may_not_go_on_moving(make_plan: MakePlan, layers: Layers) -> None:
    class Restless(FakeEngine):
        def run(self, argv: Sequence[str], output: Callable[[str], None]) -> list[str] | None:
            done = super().run(argv, output)
            self.images["own/tools"] = replace(image("own/tools"), id=f"sha256:{self.built}")
            return done

    text = "ARG METALLIZE_SRC_IMG\nFROM own/tools AS tools\nFROM ${METALLIZE_SRC_IMG}\nCOPY --from=tools /a /a\n"
    house = House(make_plan(rootfs=[TRIXIE, layers.read("top.dockerfile", text)]))
    house.engine = Restless(images={TRIXIE: image(TRIXIE), "own/tools": image("own/tools")})
    with pytest.raises(EngineError, match=r"what top\.dockerfile stands on changed while it was built"):
        house.build()


def test_a_layer_that_fails_is_an_error_with_its_output(house: House) -> None:
    class Failing(FakeEngine):
        def run(self, argv: object, output: object) -> list[str] | None:
            return ["it broke"]

    house.engine = Failing(images={TRIXIE: image(TRIXIE)})
    with pytest.raises(LayerError, match="failed to build"):
        house.build()


def test_an_engine_that_does_not_answer_knows_nothing(house: House) -> None:
    class Silent(FakeEngine):
        def inspect(self, reference: str) -> ImageInfo | None:
            raise EngineError("no Docker engine answers")

    assert known_to(Silent(), house.steps) == {}


def test_the_generator_gets_nothing_but_its_folder(house: House) -> None:
    argv = [word for word in house.steps.generate.argv if isinstance(word, str)]
    for words in (["--network", "none"], ["--cap-drop", "ALL"], ["--read-only", "--tmpfs"]):
        at = argv.index(words[0])
        assert argv[at : at + 2] == words
    assert "--privileged" not in argv
    assert house.steps.seal.inputs == ("layer_2", house.steps.tools[-1].id)


def test_the_seal_compares_with_the_base_where_there_is_one(make_plan: MakePlan, layers: Layers) -> None:
    def compared(plan: BuildPlan) -> list[str]:
        steps = steps_of(plan)
        names = ["docker", "base", "layer_1", steps.tools[-1].id, "label", "builder", "sealed"]
        argv = filled(steps.seal.argv, dict.fromkeys(names, "x") | {"compared": steps.ground})
        return [word for word in argv if word.startswith("METALLIZE_BASE_IMG=")]

    assert compared(make_plan()) == ["METALLIZE_BASE_IMG=base"]
    own = "FROM tools:1 AS made\nFROM debian:12 AS os\nFROM os\nCOPY --from=made /x /x\n"
    plan = make_plan(rootfs=[layers.read("a.dockerfile", own)])
    [ground] = [each.id for each in steps_of(plan).rootfs if each.output == "debian:12"]
    assert compared(plan) == [f"METALLIZE_BASE_IMG={ground}"]
    for unknown in ("FROM scratch\nADD x /\n", "ARG WHAT\nFROM ${WHAT}\n"):
        layer = layers.read("a.dockerfile", unknown)
        assert compared(make_plan(rootfs=[layer])) == ["METALLIZE_BASE_IMG=scratch"]


def test_every_step_has_an_id_of_its_own_that_a_shell_takes(house: House) -> None:
    def ids(steps: Steps | tuple[Step, ...]) -> list[str]:
        return [name for each in steps for name in (each.id, *ids(each.otherwise))]

    assert len(set(ids(house.steps))) == len(ids(house.steps))
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in ids(house.steps))
    assert all(each.explain for each in house.steps)
    assert {each.platform for each in house.steps if each.kind is Kind.BASE} == {Platform.AMD64}


def test_an_image_that_a_dockerfile_names_itself_is_found_and_counts(make_plan: MakePlan, layers: Layers) -> None:
    text = (
        "ARG VERSION=1\nFROM own/tools:${VERSION} AS tools\nFROM --platform=linux/arm64 debian:bookworm AS arm\n"
        "ARG METALLIZE_SRC_IMG\nFROM ${METALLIZE_SRC_IMG}\nCOPY --from=tools /a /a\nCOPY --from=arm /b /b\n"
        "COPY --from=own/more /c /c\n"
    )
    text = text.replace("ARG METALLIZE_SRC_IMG\n", "").replace("ARG VERSION", "ARG METALLIZE_SRC_IMG\nARG VERSION", 1)
    house = House(make_plan(rootfs=[TRIXIE, layers.read("top.dockerfile", text)]))
    named = [(each.output, each.platform) for each in house.steps.rootfs if each.id.startswith("layer_from")]
    assert named == [
        ("own/tools:1", Platform.AMD64), ("debian:bookworm", Platform.ARM64), ("own/more", Platform.AMD64),
    ]  # fmt: skip
    made = "metallize/base-debian:bookworm-arm64"
    house.engine.images |= {"own/more": image("own/more"), made: image(made, platform=Platform.ARM64)}
    house.engine.registry["own/tools:1"] = image("own/tools:1")
    first = house.build()
    assert house.engine.images["debian:bookworm"].id == f"sha256:{made}", "BuildKit finds it by no other name"
    house.build()
    assert house.built == []
    house.engine.images["own/tools:1"] = replace(image("own/tools:1"), id="sha256:newer")
    assert house.build().ids["layer_1"] != first.ids["layer_1"]
    assert house.built == ["top"]
