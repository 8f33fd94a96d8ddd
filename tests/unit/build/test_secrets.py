"""--secret and --ssh: what they may be, which layer is lent what, and that no value of theirs is written anywhere."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from metallize.build.dockerfile import automatic_arguments, parse
from metallize.build.dockerfile.secret_mounts import Kind, Loan
from metallize.build.engines.engine import Output
from metallize.build.script import shell_script
from metallize.build.secrets.given import MOST_BYTES, given_of, hidden
from metallize.build.secrets.lending import require_used, unused, with_given
from metallize.build.stacks import build_images
from metallize.build.steps import steps_of
from metallize.errors import LayerError, ProfileError, UsageError
from tests.unit.build.conftest import ON_SOURCE, FakeEngine, Layers, MakePlan, Recorder, image

TOKEN = "s3cret-token"


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    path = tmp_path / "to,ken.txt"
    path.write_text(f"{TOKEN}\nab\n")
    return path


def lent(text: str) -> list[Loan]:
    automatic = automatic_arguments("linux/amd64", "linux/amd64")
    return list(parse(text).loans({}, automatic))


def mount(options: str) -> Loan:
    [loan] = lent(f"FROM x\nRUN --mount={options} true\n")
    return loan


@pytest.mark.parametrize(
    ("options", "kind", "name", "required"),
    [
        ("type=secret,id=token", "secret", "token", False),
        ("type=secret,id=token,required", "secret", "token", True),
        ("type=secret,id=token,required=true", "secret", "token", True),
        ("type=secret,id=token,required=false", "secret", "token", False),
        ("type=secret,target=/root/.npmrc", "secret", ".npmrc", False),
        ("TYPE=secret,dst=/a/b", "secret", "b", False),
        ("type=secret,id=a,target=/a/b", "secret", "a", False),
        ("type=secret,source=a,target=/a/b", "secret", "a", False),
        ("type=secret,id=token,env=TOKEN", "secret", "token", False),
        ("type=secret,id=${WHICH}", "secret", "", False),
        ("type=ssh", "ssh", "default", False),
        ("type=ssh,id=forge,required=true", "ssh", "forge", True),
    ],
)
def test_a_mount_is_read_as_buildkit_reads_it(options: str, kind: str, name: str, required: bool) -> None:
    assert mount(options) == Loan(kind=Kind(kind), id=name, required=required, line=2)


def test_only_stages_that_are_built_are_lent_anything() -> None:
    text = (
        "FROM a AS one\nRUN --mount=type=secret,id=one true\nFROM b AS two\nRUN --mount=type=secret,id=two true\n"
        "FROM c\nCOPY --from=two /x /x\nRUN --mount=type=cache,target=/c --mount=type=ssh true\n"
    )
    assert [(loan.id, loan.line) for loan in lent(text)] == [("two", 4), ("default", 7)]


def test_what_the_layer_below_runs_in_this_one_is_lent_too(make_plan: MakePlan, layers: Layers) -> None:
    below = layers.read("a.dockerfile", f"{ON_SOURCE}ONBUILD RUN --mount=type=secret,id=token true\n")
    plan = make_plan(rootfs=["debian:trixie", below, layers.read("b.dockerfile")])
    assert [[loan.id for loan in layer.loans] for layer in plan.rootfs.layers] == [[], ["token"]]


def test_the_source_is_given_and_never_what_is_in_it(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    for text, word in (
        (f'id=a,"src={token.name}"', f'id=a,"src={token}"'),
        (f'type=file,id=a,"source={token}"', f'id=a,"src={token}"'),
        ("id=a,env=TOKEN", "id=a,env=TOKEN"),
        ("type=env,id=a,src=TOKEN", "id=a,env=TOKEN"),
    ):
        [given] = given_of([text], [])
        assert given.words == ("--secret", word)
        assert TOKEN not in repr(given)
        assert given.lines() == (TOKEN,), "shorter lines are found everywhere"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has no id="),
        ("token.txt", "neither id=, src= nor env="),
        ("id=a", "it says not where it is"),
        ("src=x", "it has no id="),
        ("id=a,src=", "it says not where it is"),
        ("id=a,src=x,env=Y", "it says not where it is"),
        ("id=a,id=b,src=x", "id= twice"),
        ("id=a,type=vault,src=x", "there is no type=vault"),
        ("id=a,mode=0400,src=x", "`mode=0400`"),
        ("id=a,src=nowhere", "No such file"),
        ("id=a,src=.", "is no file"),
        ("id=a,src=empty", "is empty"),
        ("id=a,src=big", "are too many"),
        ("id=a,env=NOT_SET", "NOT_SET is not set"),
        ("id=a,env=EMPTY", "EMPTY is empty"),
        ('id=a,"src=x', "no list of fields"),
    ],
)
def test_a_secret_that_cannot_be_lent(token: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    monkeypatch.setenv("EMPTY", "")
    Path("empty").touch()
    Path("big").write_bytes(b"x" * (MOST_BYTES + 1))
    with pytest.raises(UsageError, match="--secret") as caught:
        given_of([text], [])
    assert words in caught.value.message
    assert caught.value.hint


def test_a_secret_that_is_given_twice(token: Path) -> None:
    words = f'id=a,"src={token}"'
    with pytest.raises(UsageError, match="a is given twice"):
        given_of([words, words], [])


def test_an_agent_is_one_that_runs_or_one_that_is_named(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, words in (
        ("default", "SSH_AUTH_SOCK is not set"),
        ("", "it is ID"),
        ("a=", "it is ID"),
        ("a=nokey", "there is no"),
    ):
        with pytest.raises(UsageError, match="--ssh") as caught:
            given_of([], [text])
        assert words in caught.value.message
        assert caught.value.hint
    monkeypatch.setenv("SSH_AUTH_SOCK", str(token))
    with pytest.raises(UsageError, match="leads to no socket"):
        given_of([], ["default"])
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind("agent")
        monkeypatch.setenv("SSH_AUTH_SOCK", "agent")
        assert [each.words for each in given_of([], ["default"])] == [("--ssh", "default")]
    Path("key").touch()
    assert [each.words for each in given_of([], ["forge=key"])] == [("--ssh", f"forge={Path('key').absolute()}")]


def test_what_is_needed_and_not_given_is_told_with_its_line(make_plan: MakePlan, layers: Layers, token: Path) -> None:
    text = f"{ON_SOURCE}RUN --mount=type=secret,id=tok,required --mount=type=ssh,required true\n"
    plan = make_plan(rootfs=["debian:trixie", layers.read("a.dockerfile", text)])
    with pytest.raises(ProfileError) as caught:
        with_given(plan, [])
    secret, agent = caught.value.problems
    assert secret.location is not None
    assert (secret.location.path.name, secret.location.line) == ("a.dockerfile", 3)
    assert "needs the secret `tok`" in secret.message
    assert secret.hint == "give it: --secret id=tok,src=tok.txt"
    assert agent.hint == "give it: --ssh default"
    with pytest.raises(ProfileError) as caught:
        with_given(plan, given_of([f'id=tokk,"src={token}"'], []))
    hint = caught.value.problems[0].hint
    assert hint == "give it: --secret id=tok,src=tok.txt; no layer mounts `tokk`, which is given"
    assert with_given(plan, given_of([f'id=tok,"src={token}"'], ["default=" + str(token.parent)])).rootfs.layers[0].lent


def test_what_may_be_left_out_is_only_said(make_plan: MakePlan, layers: Layers) -> None:
    text = f"{ON_SOURCE}RUN --mount=type=secret,id=tok true\n"
    plan = with_given(make_plan(rootfs=["debian:trixie", layers.read("a.dockerfile", text)]), [])
    said = "a.dockerfile:3: RUN goes without the secret `tok`, which nobody gave (--secret id=tok,src=tok.txt)."
    assert plan.remarks == (said,)
    assert f"# note: {said}" in shell_script(plan)


def test_what_no_layer_mounts_is_refused(make_plan: MakePlan, layers: Layers, token: Path) -> None:
    text = f"{ON_SOURCE}RUN --mount=type=secret,id=token true\n"
    plans = [make_plan(rootfs=["debian:trixie", layers.read("a.dockerfile", text)])]
    given = given_of([f'id=tokne,"src={token}"'], [])
    with pytest.raises(UsageError, match="no layer mounts `tokne`") as caught:
        require_used(plans, given)
    assert caught.value.hint == "the layers mount token"
    assert unused(plans, given) == given
    require_used(plans, given_of([f'id=token,"src={token}"'], []))
    variable = layers.read("v.dockerfile", f"{ON_SOURCE}ARG A\nRUN --mount=type=secret,id=$A true\n")
    require_used([make_plan(rootfs=["debian:trixie", variable])], given)


def test_only_who_mounts_it_is_lent_it_and_no_key_stands_on_it(
    make_plan: MakePlan, layers: Layers, token: Path
) -> None:
    text = f"{ON_SOURCE}RUN --mount=type=secret,id=token true\n"
    parts = ["debian:trixie", layers.read("a.dockerfile", text), layers.read("b.dockerfile")]
    plan = make_plan(rootfs=parts)
    given = with_given(plan, given_of([f'id=token,"src={token}"'], []))
    commands = [step.argv for step in steps_of(given).rootfs if step.id.startswith("layer")]
    assert ["--secret" in argv for argv in commands] == [True, False]
    assert plan.id == given.id
    assert [step.key for step in steps_of(plan)] == [step.key for step in steps_of(given)]
    script = shell_script(given)
    assert f"""--secret 'id=token,"src={token}"'""" in script
    assert TOKEN not in script


def test_what_a_build_prints_is_shown_without_it(make_plan: MakePlan, layers: Layers, token: Path) -> None:
    class Talker(FakeEngine):
        def run(self, argv: Sequence[str], output: Output) -> list[str] | None:
            if "--secret" in argv:
                output(f"curl -H {TOKEN}")
                return [f"it said {TOKEN}"]
            return super().run(argv, output)

    text = f"{ON_SOURCE}RUN --mount=type=secret,id=token true\n"
    plan = make_plan(rootfs=["debian:trixie", layers.read("a.dockerfile", text)])
    plan = with_given(plan, given_of([f'id=token,"src={token}"'], []))
    recorder, engine = Recorder(), Talker(images={"debian:trixie": image("debian:trixie")})
    with pytest.raises(LayerError) as caught:
        build_images(plan, steps_of(plan), engine, recorder)
    assert "it said ***" in caught.value.message
    assert any("curl -H ***" in str(event) for event in recorder.events)
    assert TOKEN not in f"{recorder.events}{caught.value}"


def test_the_longest_line_is_hidden_first() -> None:
    assert hidden("xx longer long", ["longer", "long"]) == "xx *** ***"
