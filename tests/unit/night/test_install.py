"""The units of systemd: what is in them, what systemd itself says of them, and what they do not overwrite."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metallize import cli
from metallize.errors import ExitCode, HostError, UsageError
from metallize.events import Note
from metallize.night.course.journal import GOES_ON
from metallize.night.install import LONGEST, Manager, Nightly, is_own, quoted, stamped, units_of, write_units
from metallize.night.telling.alive import Alive, begun
from tests.unit.build.conftest import Recorder


def nightly(folder: Path, manager: Manager = Manager.SYSTEM, **said: str) -> Nightly:
    return Nightly(
        manager=manager,
        command=("/bin/true", "-m", "metallize"),
        words=("web.yaml", "--arg", said.get("argument", "a=b")),
        folder=folder,
        build_dir=folder / "build",
        writable=(),
        at="*-*-* 02:00:00",
        path="/usr/bin:/bin",
    )


@pytest.mark.slow
@pytest.mark.parametrize("manager", Manager)
def test_systemd_has_nothing_against_them(tmp_path: Path, manager: Manager) -> None:
    """As whoever reads them, in a folder whose name has all that is special in a unit."""
    folder = tmp_path / 'a %n "b" $HOME \\x'
    folder.mkdir()
    units = tmp_path / "units"
    paths = write_units(units, units_of(nightly(folder, manager, argument='hostname="$x %i" \\y')))
    words = [
        "systemd-analyze",
        *(["--user"] if manager is Manager.USER else []),
        "verify",
        "--man=no",
        *map(str, paths),
    ]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}  # a user's manager wants one
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert str(units) not in done.stderr, "no line of them is complained of"


@pytest.mark.slow
def test_the_systems_service_is_hardened(tmp_path: Path) -> None:
    paths = write_units(tmp_path / "units", units_of(nightly(Path("/srv/os"))))
    service = next(path for path in paths if path.name == "metallize-nightly.service")
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", "--threshold=55", str(service)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_the_units_say(tmp_path: Path) -> None:
    units = units_of(nightly(tmp_path))
    assert sorted(units) == [
        "metallize-nightly-late.service", "metallize-nightly-late.timer",
        "metallize-nightly.service", "metallize-nightly.timer",
    ]  # fmt: skip
    service = units["metallize-nightly.service"]
    assert 'ExecStart="/bin/true" "-m" "metallize" "nightly" "web.yaml" "--arg" "a=b"\n' in service
    assert "Restart=on-abnormal" in service
    assert "MemoryDenyWriteExecute" not in service, "QEMU makes code as it goes"
    assert "OnCalendar=*-*-* 02:00:00" in units["metallize-nightly.timer"]
    assert '"--late" "26"' in units["metallize-nightly-late.service"]
    assert "PrivateTmp" not in service, "the folder is in /tmp, which the service could not see then"
    elsewhere = units_of(nightly(Path("/srv/os")))["metallize-nightly.service"]
    assert "PrivateTmp=yes" in elsewhere
    assert 'ReadWritePaths="-/srv/os/build"' in elsewhere
    user = units_of(nightly(Path("/srv/os"), Manager.USER))["metallize-nightly.service"]
    assert "docker.service" not in user, "a user's manager knows no unit of the system's"
    assert "NoNewPrivileges" not in user


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=30))
def test_a_word_stays_one_word(word: str) -> None:
    """Read back by the rules of systemd.syntax(7) and systemd.service(5): the quotes, then escapes, then % and $."""
    text = quoted(word)
    assert text.startswith('"')
    inner, found = iter(text[1:-1]), []
    for character in inner:
        if character in "\\%$":
            following = next(inner)
            assert following == character or (character == "\\" and following == '"')
            found.append(following)
        else:
            assert character != '"'
            found.append(character)
    assert "".join(found) == word


@pytest.mark.parametrize("word", ["a\nExecStartPre=/bin/evil", "a\rb", "\x00", "\x7f"])
def test_a_word_that_would_be_a_line_is_refused(tmp_path: Path, word: str) -> None:
    with pytest.raises(UsageError, match="no unit can hold"):
        units_of(nightly(tmp_path, argument=word))


def test_what_is_its_own_is_written_anew_and_nothing_else(tmp_path: Path) -> None:
    first = write_units(tmp_path, units_of(nightly(tmp_path)))
    assert write_units(tmp_path, units_of(nightly(tmp_path, argument="c=d"))) == first
    assert '"c=d"' in first[0].read_text()
    assert {path.stat().st_mode & 0o777 for path in first} == {0o644}
    first[3].write_text(first[3].read_text() + "# by hand\n")
    before = [path.read_text() for path in first]
    with pytest.raises(UsageError, match="is not as metallize nightly --install writes it"):
        write_units(tmp_path, units_of(nightly(tmp_path, argument="e=f")))
    assert [path.read_text() for path in first] == before, "none of them is written"


@pytest.mark.parametrize("there", ["text", "empty", "link", "dangling", "folder", "bytes"])
def test_somebody_elses_file_stays(tmp_path: Path, there: str) -> None:
    path = tmp_path / "metallize-nightly.timer"
    own = stamped("[Unit]\n")
    (tmp_path / "elsewhere").write_text(own)
    match there:
        case "text":
            path.write_text("[Timer]\nOnCalendar=daily\n")
        case "empty":
            path.write_text("")
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case "dangling":
            path.symlink_to("/dev/null/nothing")
        case "folder":
            path.mkdir()
        case _:
            path.write_bytes(b"\xff\xfe")
    with pytest.raises((UsageError, HostError)):
        write_units(tmp_path, units_of(nightly(tmp_path)))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["elsewhere", "metallize-nightly.timer"]
    assert (tmp_path / "elsewhere").read_text() == own


def test_a_night_that_is_ended_still_goes_on() -> None:
    assert LONGEST + timedelta(hours=1) < GOES_ON < timedelta(days=1)


def test_a_stamp_tells_what_was_changed() -> None:
    text = stamped("[Unit]\nDescription=x\n")
    assert is_own(text)
    assert not any(
        map(is_own, (text + "\n", text.replace("x", "y"), text.partition("\n")[2], "", "\n", "# Written by"))
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_prints_or_writes_them(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["nightly", "web.yaml", "--machine", "ovmf", "--no-cache", "--at", "Mon 03:00", "--install", "--user"]
    assert cli.main([*words, "--print"]) == ExitCode.DONE
    printed = capsys.readouterr().out
    assert not (home / "config").exists()
    night = '"nightly" "web.yaml" "--no-cache" "--machine" "ovmf" "--confirm-boots" "40" "--confirm-minutes" "60"'
    night += ' "--bisect-minutes" "60"'
    assert f"{night}\nWorkingDirectory={home}\n" in printed
    assert "OnCalendar=Mon 03:00" in printed
    assert cli.main(words) == ExitCode.DONE
    told = capsys.readouterr()
    folder = home / "config" / "systemd" / "user"
    assert told.out.split() == [str(path) for path in (
        folder / "metallize-nightly.service", folder / "metallize-nightly.timer",
        folder / "metallize-nightly-late.service", folder / "metallize-nightly-late.timer",
    )]  # fmt: skip
    assert "systemctl --user enable --now metallize-nightly.timer metallize-nightly-late.timer" in told.err
    for path in folder.iterdir():
        assert path.read_text() in printed
    (folder / "metallize-nightly.service").write_text("mine\n")
    assert cli.main(words) == ExitCode.BAD_INPUT
    assert (folder / "metallize-nightly.service").read_text() == "mine\n"


@pytest.mark.usefixtures("home")
def test_the_night_that_is_installed_is_the_one_that_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Every option of a night is in the command of the service, and is read back as what it was."""
    words = [
        "a.yaml", "b.yaml", "--no-cache", "--capture", "--quiet", "--tag", "uefi", "--tag", "ext4", "--machine", "ovmf",
        "--arg", "hostname=x y", "--set", "output.file=z.iso", "--secret", "id=a,env=A", "--ssh", "default",
        "--since", "HEAD~1", "--build-dir", "b d", "--extensions-dir", "e", "--junitxml", "j.xml", "--accel", "tcg",
        "--confirm-boots", "20", "--confirm-minutes", "30", "--bisect-minutes", "5",
        "--executor", "dask://127.0.0.1:8786", "--keys", "k", "--shared", "s",
    ]  # fmt: skip
    assert cli.main(["nightly", *words, "--install", "--user", "--print"]) == ExitCode.DONE
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ExecStart="))
    from metallize.commands.line import parse

    found = [word.strip('"') for word in line.removeprefix("ExecStart=").split('" "')]
    again = parse(found[found.index("nightly") :])
    assert vars(again) == vars(parse(["nightly", *words]))


@pytest.mark.parametrize("words", [["--print"], ["--at", "daily"], ["--system"], ["--install", "--at", "whenever"]])
@pytest.mark.usefixtures("home")
def test_what_means_nothing_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(["nightly", "--user", *words] if "--install" in words else ["nightly", *words]) == ExitCode.BAD_INPUT
    )
    assert "error: " in capsys.readouterr().err


def test_the_tests_have_systemds_own_reader() -> None:
    assert shutil.which("systemd-analyze") is not None


# ---------------------------------------------------------------- the watchdog


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.bind(address)
        own.setblocking(False)
        yield address, own


def test_it_tells_that_it_is_alive_with_its_events(
    listening: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, own = listening
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    events = Recorder()
    begun({"NOTIFY_SOCKET": address})
    told = Alive(events, {"NOTIFY_SOCKET": address})
    assert own.recv(100) == b"READY=1"
    for seconds in (1.0, 9.9, 10.0, 10.5, 25.0):
        now[0] = 100.0 + seconds
        told.emit(Note(text=str(seconds)))
    assert [own.recv(100), own.recv(100)] == [b"WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        own.recv(100)
    assert len(events.events) == 5


@pytest.mark.slow
def test_a_night_of_nothing_has_started_before_it_ends(
    listening: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A unit of Type=notify that ends before it says so has failed (systemd.service(5))."""
    address, own = listening
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    words = ["nightly", "debian13-livecd", "--since", "HEAD", "--build-dir", str(tmp_path / "build")]
    assert cli.main(words) == ExitCode.DONE
    assert own.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "x" * 200, "@metallize-test-nobody"])
def test_nobody_who_listens_is_no_reason_to_end(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Recorder()
    begun({"NOTIFY_SOCKET": address})
    monkeypatch.setattr("time.monotonic", iter((0.0, 60.0)).__next__)
    Alive(events, {"NOTIFY_SOCKET": address}).emit(Note(text="x"))
    assert len(events.events) == 1


def test_an_abstract_socket_is_told_too() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
        own.bind("")  # autobind: the kernel gives a name (unix(7))
        name = own.getsockname()
        begun({"NOTIFY_SOCKET": f"@{name[1:].decode()}"})
        assert own.recv(100) == b"READY=1"
