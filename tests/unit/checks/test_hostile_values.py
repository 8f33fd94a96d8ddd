"""Whatever a guest says, a matcher holds or not: no number is too long to be judged, no text too odd."""

from __future__ import annotations

from contextlib import suppress

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metallize.checks.claims import Unseen, read_fields
from metallize.checks.collection_matchers import HaveLen
from metallize.checks.gjson import PathNotFound, parse_path
from metallize.checks.semver import parse_version
from metallize.checks.values import Mismatch, as_number
from metallize.errors import ProfileError
from metallize.model.assertion import Assertion
from metallize.model.kind import Observation
from tests.unit.checks.conftest import Assert, Judge, flow, kinds

ENDLESS = "9" * 5000


@given(st.one_of(st.text(), st.from_regex(r"[+-]?[0-9]{1,6000}", fullmatch=True)))
def test_a_text_is_a_number_or_is_none(text: str) -> None:
    with suppress(Mismatch):
        assert isinstance(as_number(text), int | float)


def test_a_number_without_end_is_none() -> None:
    with pytest.raises(Mismatch, match="5000 characters"):
        as_number(ENDLESS)
    assert parse_version(f"{ENDLESS}.0.0") is None
    seen = Observation(status=0, stdout=f"count {ENDLESS}\n", stderr="", seconds=0.0)
    assert isinstance(read_fields(seen).number("count"), Unseen)


def test_half_a_surrogate_pair_has_a_length() -> None:
    assert HaveLen(length=3).holds("\ud800")


HOSTILE = {
    "mount": (
        "/: {exists: true, usage: {lt: 95}, source: x}",
        ["1 2 3 4 / rw - ext4 \\999 rw", f"blocks {ENDLESS} 1", "blocks 1 9", "blocks ² ³", "blocks 0 0"],
    ),
    "port": ("'tcp:22': {listening: true, ip: [0.0.0.0]}", ["tcp 0100007F0100007F:0016", "tcp 0100007F" * 3 + ":0016"]),
    "file": ("/x: {exists: true, size: 5, mode: '0644'}", ["size --5", f"size {ENDLESS}", "size ٣", "size -"]),
    "service": ("x: {enabled: true, running: false}", ["init systemd\nenabled_status --1", "init systemd"]),
    "http": (
        "'http://x/': {status: 200, body: ['!x']}",
        ["tool curl\nlines -9\nexit 0", "tool bash\nbytes --9\nexit 0"],
    ),
    "dns": ("x: {resolvable: true, server: 127.0.0.1}", ["tool perl\nanswer.0 6d7a8180", "tool perl\nanswer.0 zz"]),
    "user": ("x: {exists: false}", ["passwd x:1:1"]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_no_tool_prints_is_judged_and_holds_nothing(judge: Judge, kind: str) -> None:
    claim, answers = HOSTILE[kind]
    for answer in answers:
        for text in (answer, f"exists yes\n{answer}\ndone\nmetallize-port-done\n--contents--\n{answer}\n"):
            claims = judge(f"{kind}: {{{claim}}}", text)
            assert not all(each.holds and not each.skipped for each in claims.values()) or kind == "user", (
                text,
                claims,
            )


TOKENS = st.sampled_from(
    [
        *("5", "--5", ENDLESS, "²", "٣", "\x85", "\u2028", "\x0c", "\r", "yes", "no", "end", "done", "exists", "size"),
        *(
            "mode",
            "tool",
            "curl",
            "bash",
            "bytes",
            "lines",
            "exit",
            "HTTP/1.1 200 OK",
            "answer.0",
            "6d7a8180",
            "blocks",
        ),
        *(
            "tcp",
            "0100007F:0016",
            "\\999",
            " - ",
            "1 2 3 4 / rw,x - ext4 \\999 rw",
            "passwd",
            "root:x:0:0::/root:/bin/sh",
        ),
        *(
            "init",
            "systemd",
            "enabled_status",
            "ActiveState",
            "metallize-port-done",
            "--contents--",
            "{",
            "[1]",
            "pid 1",
        ),
    ]
)
SOUP = st.lists(st.tuples(TOKENS, st.sampled_from([" ", "\n", "="])), max_size=14).map(
    lambda pairs: "".join(token + end for token, end in pairs)
)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(stdout=SOUP, stderr=SOUP, status=st.sampled_from([0, 1, 124, 127, -1, 10**9]))
def test_whatever_a_probe_prints_is_judged(examples: list[Assertion], stdout: str, stderr: str, status: int) -> None:
    seen = Observation(status=status, stdout=stdout, stderr=stderr, seconds=-1.0)
    for each in examples:
        for claim in kinds()[each.kind].judge(each.resource, each.options, seen):
            assert isinstance(claim.holds, bool)


@pytest.fixture
def examples(assertion: Assert) -> list[Assertion]:
    texts = [f"{kind}: {{{claim}}}" for kind, (claim, _) in HOSTILE.items()]
    texts += [flow({name: yaml.safe_load(kind.example)}) for name, kind in kinds().items() if name != "gossfile"]
    return [assertion(text) for text in texts]


def test_a_value_with_a_line_break_in_it_is_no_other_field(judge: Judge) -> None:
    """The target of a link may hold any line."""
    text = "exists yes\nfiletype symlink\nlinked-to x\nowner root\nmode 777\nowner nobody\n"
    claims = judge("file: {/x: {exists: true, owner: root, mode: '0777'}}", text)
    assert claims["owner"].unseen
    assert "two things" in claims["owner"].note
    assert claims["mode"].holds


@pytest.mark.parametrize("sign", ["\x85", "\u2028", "\u2029", "\x0c", "\x1c"])
def test_lines_end_where_the_guests_tools_end_them(judge: Judge, sign: str) -> None:
    line = f"passwd eve:x:1000:1000:Eve{sign}the other:/home/eve:/bin/sh\ndone\n"
    assert not judge("user: {eve: {exists: false}}", line)["exists"].holds
    assert judge("user: {eve: {exists: true, home: /home/eve}}", line)["home"].holds


def test_what_is_installed_for_one_architecture_is_installed(judge: Judge) -> None:
    text = "tool dpkg\nversion.1.0 deinstall ok config-files\nversion.1.0 install ok installed\n"
    claims = judge("package: {x: {installed: true, versions: ['1.0']}}", text)
    assert all(each.holds for each in claims.values())
    assert not judge("package: {x: {installed: false}}", text)["installed"].holds


def test_what_one_tool_lacks_another_may_have_and_one_that_is_silent_may_too(judge: Judge) -> None:
    both = "tool dpkg\ntool rpm\nversion.2-1 install ok installed\n"
    assert judge("package: {x: {installed: true}}", both)["installed"].holds
    silent = "tool dpkg\nsilent rpm (status 1)\n"
    assert judge("package: {x: {installed: false}}", silent)["installed"].unseen
    assert judge("package: {x: {installed: true}}", f"{both}{silent}")["installed"].holds


@pytest.mark.parametrize("status", [124, 137, 143])
def test_a_command_that_was_ended_by_force_has_no_status(judge: Judge, status: int) -> None:
    claim = "command: {x: {exit-status: {not: 0}, timeout: 2000}}"
    assert judge(claim, "", status=status, seconds=2.5)["exit-status"].unseen
    assert judge(claim, "", status=status, seconds=1.0)["exit-status"].holds


def test_a_service_of_which_systemd_does_not_say_whether_it_is_enabled(judge: Judge) -> None:
    claim = "service: {x: {enabled: false, running: false}}"
    known = "init systemd\nLoadState loaded\nActiveState inactive\nenabled_status 1\nenabled "
    assert judge(claim, known)["enabled"].unseen
    assert judge(claim, f"{known}disabled\n")["enabled"].holds
    assert judge(claim, known.replace("loaded", "not-found"))["enabled"].holds, "there is none of that name"
    assert {each.unseen for each in judge(claim, "init systemd\nenabled_status 127\nenabled \n").values()} == {True}


def test_a_guest_of_no_known_init_has_told_nothing_of_its_services(judge: Judge) -> None:
    assert judge("service: {x: {running: false}}", "")["running"].unseen
    script = "init sysv\nrunning its status could not be asked for\n"
    assert judge("service: {x: {running: false}}", script)["running"].unseen


def test_a_program_whose_name_begins_alike_is_not_the_one(judge: Judge) -> None:
    name = "systemd-networkd"
    for claimed in ("true", "false"):
        assert judge(f"process: {{{name}: {{running: {claimed}}}}}", "like 7 python3\ndone\n")["running"].unseen
    assert judge(f"process: {{{name}: {{running: true}}}}", "like 7 \npid 8\ndone\n")["running"].holds
    assert judge(f"process: {{{name}: {{running: false}}}}", "")["running"].unseen, "nobody could look"


def test_a_body_that_broke_off_is_not_looked_at(judge: Judge) -> None:
    claim = "http: {'http://x/': {status: 200, body: ['!error']}}"

    def answer(body: str, length: int, tool: str = "bash") -> str:
        whole = f"HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        return f"tool {tool}\nexit 0\nlines 0\nbytes {len(whole.encode())}\n--contents--\n{whole}"

    assert judge(claim, answer("a page", 6))["status"].holds
    assert judge(claim, answer("ä page", 7))["body"].holds
    broken = judge(claim, answer("a pa", 6))["status"]
    assert broken.unseen
    assert "2 bytes of its body never came" in broken.note
    head = "http: {'http://x/': {status: 200, method: HEAD}}"
    assert judge(head, answer("", 6))["status"].holds


@pytest.mark.parametrize(
    "text", ['{"free": NaN}', '{"free": Infinity}', '{"free": -Infinity}', '{"free": 0, "free": 9}']
)
@pytest.mark.parametrize("claim", ["{ge: 5}", "{le: 5}", "{not: {lt: 5}}", "{not: {equal: 1}}"])
def test_what_is_no_json_holds_nothing(judge: Judge, text: str, claim: str) -> None:
    """NaN is neither less nor greater than a number; of a key that comes twice gjson takes the first value."""
    held = judge(f"command: {{x: {{exit-status: 0, stdout: {{gjson: {{free: {claim}}}}}}}}}", text)["stdout"]
    assert not held.holds
    assert "it is not JSON" in held.note


def test_nan_is_no_number() -> None:
    with pytest.raises(Mismatch):
        as_number(float("nan"))


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize("claim", ["{}", "{{not: {}}}", "{{ge: {}}}", "{{le: {}}}"])
def test_a_claim_names_a_number_that_there_is(assertion: Assert, number: str, claim: str) -> None:
    with pytest.raises(ProfileError, match="a number is wanted here"):
        assertion(f"command: {{x: {{exit-status: {claim.format(number)}}}}}")


@pytest.mark.parametrize("word", ["nan", "inf", "infinity", "1_0", "٣"])
def test_a_query_of_gjson_has_numbers_as_json_has_them(word: str) -> None:
    path = parse_path(f"#(free>={word}).name")
    with pytest.raises(PathNotFound):
        path.get([{"free": 7, "name": "x"}])
    assert parse_path("#(free>=7).name").get([{"free": 7, "name": "x"}]) == "x"
    assert parse_path("#(free<-1.5e3).name").get([{"free": -1501, "name": "x"}]) == "x"
