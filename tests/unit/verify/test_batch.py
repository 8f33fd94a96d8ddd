"""The one script that observes everything, run here by the host's own shells."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metallize.catalog import Catalog
from metallize.model.kind import Observation
from metallize.verify.looks.batch import Batch, BatchResult, SharedProbe, make_batch, read_batch

SHELLS = ["sh", "bash"]


def run(batch: Batch, shell: str = "sh") -> BatchResult:
    done = subprocess.run([shell], input=batch.script.encode(), capture_output=True, check=False, timeout=60)
    return read_batch(batch, done.stdout)


@pytest.mark.parametrize("shell", SHELLS)
def test_each_probe_has_its_status_and_its_two_outputs(shell: str) -> None:
    result = run(
        make_batch(
            [
                "echo out; echo err >&2; exit 3",
                "printf 'no newline'",
                "",
                'it="it\'s"; echo "$it"',
                "exit 1; (",
                "echo last",
            ],
            password=None,
        ),
        shell,
    )
    seen = [(item.status, item.stdout, item.stderr) for item in result.observations if item is not None]
    assert result.complete
    assert seen[:4] == [(3, "out\n", "err\n"), (0, "no newline", ""), (0, "", ""), (0, "it's\n", "")]
    assert seen[5] == (0, "last\n", "")


def test_probes_do_not_see_each_other() -> None:
    result = run(make_batch(["x=1; cd /", "echo [$x]; pwd", "cat"], password=None))
    second, third = result.observations[1:]
    assert second is not None
    assert third is not None
    assert second.stdout.startswith("[]\n")
    assert second.stdout != "[]\n/\n" or Path.cwd() == Path("/")
    assert third.stdout == ""


@pytest.mark.slow
def test_a_probe_that_hangs_is_killed_with_what_it_started() -> None:
    result = run(make_batch(["sleep 97 & wait", "echo on"], password=None, limit=2))
    first, second = result.observations
    assert first is not None
    assert second is not None
    assert first.status != 0
    assert first.seconds < 20
    assert second.stdout == "on\n"
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 97" not in left.splitlines()


@pytest.mark.slow
def test_a_probe_may_set_itself_a_longer_limit() -> None:
    longer = 'echo 30 >"$METALLIZE_SCRATCH/limit"; sleep 4; echo on'
    result = run(make_batch([longer, "sleep 97; echo never"], password=None, limit=2))
    first, second = result.observations
    assert first is not None
    assert second is not None
    assert first.stdout == "on\n"
    assert second.stdout == ""
    assert second.seconds < 20, "the longer limit was the first one's own"


def test_what_needs_no_look_is_not_in_the_script() -> None:
    batch = make_batch(["", "echo on", ""], password=None)
    assert batch.empty == {0, 2}
    first, second, third = run(batch).observations
    assert (first, third) == (Observation(status=0, stdout="", stderr="", seconds=0.0),) * 2
    assert second is not None
    assert read_batch(batch, b"").observations == (None, None, None), "no answer at all is no look"


def test_an_output_cut_short_leaves_what_had_come() -> None:
    batch = make_batch(["echo one", "echo two", "echo three"], password=None)
    done = subprocess.run(["sh"], input=batch.script.encode(), capture_output=True, check=True)
    cut = done.stdout.index(b"three")
    result = read_batch(batch, done.stdout[:cut])
    assert not result.complete
    assert [item and item.stdout for item in result.observations] == ["one\n", "two\n", None]


def test_no_output_is_no_observation() -> None:
    batch = make_batch(["echo one"], password=None)
    assert read_batch(batch, b"") == BatchResult(
        observations=(None,), as_root=False, probing_seconds=0.0, complete=False
    )


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(max_size=60).map(lambda raw: raw.replace(b"\0", b"")), min_size=1, max_size=4))
def test_whatever_is_printed_comes_back(texts: list[bytes]) -> None:
    octal = ["".join(f"\\{byte:03o}" for byte in text) for text in texts]
    result = run(make_batch([f"printf '{text}'" for text in octal], password=None))
    assert [item and item.stdout for item in result.observations] == [text.decode(errors="replace") for text in texts]


def test_the_password_is_in_no_argument() -> None:
    batch = make_batch(["true"], password="s3cret")
    assert "s3cret" not in batch.script


def test_a_shared_probe_takes_the_place_of_several() -> None:
    script = 'at a; echo one; at b; printf "\\n$METALLIZE_AT a\\nmore\\n"; echo trouble >&2'
    shared = SharedProbe(script=script, numbers={"a": 1, "b": 3, "c": 4})
    result = run(make_batch(["echo 0", "echo never", "echo 2", "exit 9", "exit 9"], password=None, shared=[shared]))
    seen = [None if item is None else item.stdout for item in result.observations]
    assert result.complete
    assert seen == ["0\n", "one\n\nmore\n", "2\n", "", None]
    assert result.observations[1] is not None
    assert result.observations[1].stderr == "trouble\n"


def test_surveys_run_beside_the_others(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meet")  # either waits for the other
    shared = SharedProbe(script=f"at a; cat {tmp_path}/meet; at b; echo b", numbers={"a": 0, "b": 2})
    probes = ["exit 9", f"echo met >{tmp_path}/meet; echo 1", "exit 9"]
    result = run(make_batch(probes, password=None, shared=[shared], limit=20))
    assert result.complete
    assert [item and item.stdout for item in result.observations] == ["met\n", "1\n", "b\n"]


@pytest.mark.parametrize("shell", SHELLS)
def test_nothing_of_it_runs_on(shell: str) -> None:
    shared = SharedProbe(script="at a; echo a", numbers={"a": 0})
    batch = make_batch(["exit 9", "sleep 0.2; echo 1"], password=None, shared=[shared])
    with subprocess.Popen([shell, "-c", batch.script], stdout=subprocess.PIPE, start_new_session=True) as process:
        output, _ = process.communicate(timeout=60)
        assert read_batch(batch, output).complete
        left = subprocess.run(
            ["ps", "-o", "stat=,args=", "-s", str(process.pid)], capture_output=True, text=True, check=False
        )
    assert [line for line in left.stdout.splitlines() if not line.startswith("Z")] == []


def test_what_may_run_beside_others_does_and_the_rest_keeps_its_order(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meet")  # either waits for the other
    shared = SharedProbe(script="at a; echo a", numbers={"a": 0})
    log = tmp_path / "log"
    probes = [
        "exit 9",
        f"sleep 0.3; echo 1 >>{log}",
        f"echo 2 >>{log}",
        f"cat {tmp_path}/meet",
        f"echo met >{tmp_path}/meet; echo 4",
        f"echo 5 >>{log}",
    ]
    result = run(make_batch(probes, password=None, shared=[shared], beside=[3, 4], limit=20))
    assert result.complete
    assert [item and item.stdout for item in result.observations] == ["a\n", "", "", "met\n", "4\n", ""]
    assert log.read_text().split() == ["1", "2", "5"]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_is_run_once(shell: str, tmp_path: Path) -> None:
    shared = SharedProbe(script="at a; echo a", numbers={"a": 0})
    count = 40
    probes = ["exit 9", *(f"echo {n} >>{tmp_path}/log; echo {n}" for n in range(1, count))]
    result = run(make_batch(probes, password=None, shared=[shared], beside=range(1, count)), shell)
    assert [item and item.stdout for item in result.observations] == ["a\n", *(f"{n}\n" for n in range(1, count))]
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(1, count))


@pytest.mark.slow
def test_a_survey_that_hangs_is_killed_and_the_others_are_not() -> None:
    shared = SharedProbe(script="at a; echo a; at b; sleep 98 & wait", numbers={"a": 0, "b": 1})
    result = run(make_batch(["exit 9", "exit 9", "sleep 1; echo 2"], password=None, shared=[shared], limit=2))
    assert result.complete
    assert [item and item.stdout for item in result.observations] == [None, None, "2\n"]
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 98" not in left.splitlines()


def test_a_shared_probe_that_does_not_come_to_its_end_has_seen_nothing() -> None:
    shared = SharedProbe(script="at a; echo one; at b; kill -9 $(exec sh -c 'echo $PPID')", numbers={"a": 0, "b": 1})
    result = run(make_batch(["exit 9", "exit 9", "echo 2"], password=None, shared=[shared]))
    assert [item and item.stdout for item in result.observations] == [None, None, "2\n"]


SUDO = """\
#!/bin/sh
# As sudo(8) with -S: a line of its input is the password.
read -r password
[ "$password" = secret ] || { echo 'Sorry, try again.' >&2; exit 1; }
while [ "$1" != sh ]; do shift; done
export SUDONE=yes
exec "$@"
"""


@pytest.fixture
def fake_sudo() -> Iterator[str]:
    """A folder that anybody may look into, with a sudo that tells of itself."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / "sudo").write_text(SUDO)
        (Path(folder) / "sudo").chmod(0o755)
        yield folder


NOBODY = 65534 if os.getuid() == 0 else None


def run_as_anybody(batch: Batch, tools: str, shell: str = "sh") -> BatchResult:
    """By a user without root's rights, with the programs of that folder."""
    done = subprocess.run(
        [shell, "-c", f"PATH={shlex.quote(tools)}:$PATH; {batch.script}"],
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
        cwd="/",
        user=NOBODY,
        group=NOBODY,
        extra_groups=[] if NOBODY else None,
        start_new_session=True,
    )
    return read_batch(batch, done.stdout)


@pytest.mark.parametrize(("password", "rights"), [("secret", "yes"), ("another", "")])
def test_what_anybody_sees_is_looked_at_beside_sudo(fake_sudo: str, password: str, rights: str) -> None:
    """A fake sudo: a real one is asked in real guests."""
    shared = [
        SharedProbe(script='at a; echo "[$SUDONE]"; at b; id -u', numbers={"a": 0, "b": 3}, rootless=True),
        SharedProbe(script='at a; echo "[$SUDONE]"', numbers={"a": 1}),
    ]
    batch = make_batch([":", ":", 'echo "[$SUDONE]"', ":"], password=password, shared=shared)
    result = run_as_anybody(batch, fake_sudo)
    seen = [item.stdout.strip() for item in result.observations if item is not None]
    assert seen == ["[]", f"[{rights}]", f"[{rights}]", str(NOBODY or os.getuid())]
    assert result.complete
    assert not result.as_root


@pytest.mark.slow
def test_a_look_for_processes_does_not_find_what_looks(fake_sudo: str) -> None:
    """Neither the shells and sudo, nor what another lane has started meanwhile."""
    kind = Catalog().kinds["process"]
    shell, nap, outside = (f"{fake_sudo}/mz-{name}" for name in ("shell", "nap", "outside"))
    for original, copy in (("sh", shell), ("sleep", nap), ("sleep", outside)):
        shutil.copy(shutil.which(original) or "", copy)
    options = kind.options(running=True)  # type: ignore[call-arg]  # each kind has its own
    looks = [f"sleep 0.5; {kind.probe(name, options)}" for name in ("mz-shell", "sudo", "mz-nap", "mz-outside")]
    shared = SharedProbe(script=f"at a; {nap} 2; echo napped", numbers={"a": 0})
    batch = make_batch(["exit 9", *looks], password="secret", shared=[shared])
    with subprocess.Popen([outside, "30"], start_new_session=True) as process:
        try:
            seen = [item and item.stdout.split() for item in run_as_anybody(batch, fake_sudo, shell).observations]
        finally:
            process.kill()
    assert seen == [["napped"], ["done"], ["done"], ["done"], ["pid", str(process.pid), "done"]]
