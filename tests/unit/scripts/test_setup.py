"""scripts/lib/setup.sh: what it installs, starts and makes, told by stand-ins for the tools that do it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.scripts.bash import PLAIN_USER, ROOT_USER, Bash, lacking


@pytest.fixture
def emulation(tmp_path: Path) -> str:
    """A kernel that knows no foreign program yet."""
    folder = tmp_path / "binfmt"
    folder.mkdir()
    return f"BINFMT={folder}\nforeign_machine() {{ echo aarch64; }}\n"


@pytest.mark.parametrize(("flags", "works"), [("PF", True), ("POCF", True), ("P", False), ("", False)])
def test_an_emulator_that_containers_cannot_use_is_none(bash: Bash, emulation: str, flags: str, works: bool) -> None:
    entry = f"printf 'enabled\\ninterpreter /q\\nflags: {flags}\\noffset 0\\n' >$BINFMT/qemu-aarch64\n"
    assert bash(emulation + entry + "emulation_works && echo works || echo no").stdout.strip() == (
        "works" if works else "no"
    )


def test_binfmt_misc_is_mounted_and_the_emulator_registered(bash: Bash, emulation: str) -> None:
    done = bash(
        emulation + ROOT_USER + "mount() { touch $BINFMT/register; }\n"
        "update-binfmts() { printf 'enabled\\nflags: PF\\n' >$BINFMT/qemu-aarch64; }\nsetup_emulation"
    )
    assert done.status == 0, done.stderr
    assert "Mounting binfmt_misc" in done.stderr
    assert "update-binfmts --enable qemu-aarch64" in done.stderr
    assert "cannot run" not in done.stderr


def test_a_host_that_allows_no_emulation_is_told_and_set_up_goes_on(bash: Bash, emulation: str) -> None:
    done = bash(emulation + ROOT_USER + "mount() { return 1; }\nsetup_emulation")
    assert done.status == 0, done.stderr
    assert "cannot run aarch64 programs" in done.stderr
    assert "everything else can" in done.stderr


# ---------------------------------------------------------------- packages


def test_a_host_that_has_everything_is_not_touched(bash: Bash) -> None:
    bash.tool("apt-get")
    bash.tool("apt-cache")
    bash.tool("sudo")
    done = bash(
        "missing_packages() { :; }\nemulation_works() { :; }\n"
        "engine_state() { echo answers; }\ndocker_can_build() { :; }\nsetup_host x"
    )
    assert done.status == 0, done.stderr
    assert done.stderr == ""
    assert bash.log == []


def test_a_bare_host_lacks_everything(bash: Bash) -> None:
    bash.env["DOCKER_HOST"] = ""
    done = bash(
        ROOT_USER
        + lacking(
            "qemu-system-x86_64", "qemu-img", "swtpm", "mmdebstrap", "docker", "dockerd", "iptables", "newuidmap", "ssh"
        )
        + "emulators() { echo qemu-user-static; }\n"
        + "find_python() { return 1; }\nhas_ovmf() { return 1; }\nhas_docker_ce() { return 1; }\n"
        + "docker_can_build() { return 1; }\nENGINE_SOCKET=/nowhere\nmissing_packages"
    )
    wanted = done.stdout.split()
    assert wanted[0] == "python"
    assert {
        "qemu-system-x86",
        "qemu-utils",
        "openssh-client",
        "ovmf",
        "?swtpm",
        "mmdebstrap",
        "docker.io",
        "iptables",
    } <= set(wanted)
    assert {"?docker-cli", "?docker-buildx"} <= set(wanted), "split off by newer distributions"
    assert "uidmap" not in wanted, "root needs no user namespaces"


def test_the_engine_of_docker_itself_is_left_alone(bash: Bash) -> None:
    done = bash(
        ROOT_USER
        + lacking("iptables")
        + "find_python() { :; }\nhas_ovmf() { :; }\nhas_docker_ce() { :; }\n"
        + "docker_can_build() { return 1; }\n"
        + "missing_packages"
    )
    assert done.stdout.split() == ["docker-buildx-plugin"]


def test_packages_are_installed_without_questions_and_only_those_that_exist(bash: Bash) -> None:
    bash.tool("apt-cache", '[ "${!#}" = docker-buildx ] || echo "Package: ${!#}"')
    bash.tool("apt-get", 'echo "frontend $DEBIAN_FRONTEND" >>"$LOG"')
    done = bash(
        ROOT_USER
        + "missing_packages() { printf '%s\\n' ovmf docker.io '?docker-cli' '?docker-buildx'; }\n"
        + "setup_packages"
    )
    assert done.status == 0, done.stderr
    [install] = [line for line in bash.log if line.startswith("apt-get install")]
    assert install.split()[-3:] == ["ovmf", "docker.io", "docker-cli"]
    assert {"-y", "--no-install-recommends", "DPkg::Lock::Timeout=300"} <= set(install.split())
    assert "frontend noninteractive" in bash.log
    assert "ovmf docker.io docker-cli" in done.stderr


def test_lists_are_refreshed_only_when_a_package_is_unknown(bash: Bash) -> None:
    bash.tool("apt-cache", '[ ! -e "$LOG.fresh" ] || echo "Package: ${!#}"')
    bash.tool("apt-get", '[ "$1" != update ] || touch "$LOG.fresh"')
    script = ROOT_USER + "missing_packages() { printf '%s\\n' ovmf qemu-utils; }\nsetup_packages"
    assert bash(script).status == 0
    assert [line.split()[1] for line in bash.log if line.startswith("apt-get")] == ["update", "install"]
    bash.log_file.write_text("")
    assert bash(script).status == 0
    assert [line.split()[1] for line in bash.log if line.startswith("apt-get")] == ["install"]


def test_old_lists_are_refreshed_when_the_install_fails(bash: Bash) -> None:
    bash.tool("apt-cache", 'echo "Package: ${!#}"')
    bash.tool("apt-get", '[ "$1" != update ] || touch "$LOG.fresh"\n[ -e "$LOG.fresh" ]')
    done = bash(ROOT_USER + "missing_packages() { echo ovmf; }\nsetup_packages")
    assert done.status == 0, done.stderr
    assert [line.split()[1] for line in bash.log if line.startswith("apt-get")] == [
        "install",
        "update",
        "install",
    ]


def test_a_package_that_no_repository_has_is_named(bash: Bash) -> None:
    bash.tool("apt-cache")
    bash.tool("apt-get")
    done = bash(ROOT_USER + "missing_packages() { echo ovmf; }\nsetup_packages")
    assert done.status == 3
    assert "no package ovmf" in done.stderr
    assert "universe" in done.stderr


@pytest.mark.parametrize(
    ("python3", "known", "package"),
    [
        ("3.13.5-1", "", "python3-venv"),
        ("3.11.2-1+b1", "", "python3-venv"),
        ("3.10.6-1~22.04", "python3.11-venv", "python3.11-venv"),
        ("(none)", "python3.12-venv", "python3.12-venv"),
    ],
)
def test_python_is_the_distributions_own_where_it_is_new_enough(
    bash: Bash, python3: str, known: str, package: str
) -> None:
    bash.tool(
        "apt-cache",
        f'case "$1" in policy) echo "  Candidate: {python3}" ;; '
        f'*) [ "${{!#}}" != "{known}" ] || echo "Package: {known}" ;; esac',
    )
    assert bash("python_package").stdout.strip() == package


def test_what_the_tests_alone_need_is_installed_and_its_service_stopped(bash: Bash) -> None:
    bash.tool("apt-cache", 'echo "Package: ${!#}"')
    bash.tool("apt-get")
    bash.tool("systemctl")
    pull = "has_pull() { :; }\n"
    script = ROOT_USER + lacking("docker-registry") + pull + "has_systemd() { :; }\nsetup_test_packages"
    assert bash(script).status == 0
    installed, stopped = (line for line in bash.log if not line.startswith("apt-cache"))
    assert installed.startswith("apt-get install")
    assert installed.endswith(" docker-registry")
    assert stopped == "systemctl disable --now docker-registry"
    bash.log_file.write_text("")
    assert bash(ROOT_USER + lacking() + pull + "setup_test_packages").status == 0
    assert bash.log == [], "it is there"


def test_a_host_whose_apt_has_no_registry_is_told_that_tests_are_left_out(bash: Bash) -> None:
    bash.tool("apt-cache")
    bash.tool("apt-get")
    done = bash(ROOT_USER + lacking("docker-registry") + "setup_test_packages")
    assert done.status == 0
    assert "are left out" in done.stderr
    assert [line.split()[1] for line in bash.log if line.startswith("apt-get")] == ["update"]
    elsewhere = bash(ROOT_USER + lacking("docker-registry", "apt-get") + "setup_test_packages")
    assert (elsewhere.status, elsewhere.stderr) == (0, "")


def test_without_root_and_sudo_the_command_to_run_is_named(bash: Bash) -> None:
    bash.tool("apt-cache", 'echo "Package: ${!#}"')
    bash.tool("apt-get")
    done = bash(PLAIN_USER + lacking("sudo") + "missing_packages() { echo ovmf; }\nsetup_packages")
    assert done.status == 3
    assert "as root, run:" in done.stderr
    assert "apt-get install" in done.stderr
    assert bash.log == ["apt-cache show --no-all-versions ovmf"] * 2


def test_another_distribution_is_told_what_to_install(bash: Bash) -> None:
    done = bash(ROOT_USER + lacking("apt-get") + "missing_packages() { echo '?ovmf'; }\nsetup_packages")
    assert done.status == 3
    assert "only apt is known" in done.stderr
    assert "qemu-system-x86_64" in done.stderr


@pytest.mark.parametrize(
    ("version", "buildx", "can"),
    [("20.10.24+dfsg1", 1, True), ("28.2.2", 1, False), ("28.2.2", 0, True), ("garbled", 0, False)],
)
def test_a_docker_command_that_can_build_is_told_from_one_that_cannot(
    bash: Bash, version: str, buildx: int, can: bool
) -> None:
    bash.tool(
        "docker",
        f'case "$1" in --version) echo "Docker version {version}, build 0" ;; buildx) exit {buildx} ;; esac',
    )
    for name in ("awk", "sed"):
        (bash.tools / name).symlink_to(shutil.which(name) or name)
    assert (bash('PATH="${PATH%%:*}"\ndocker_can_build').status == 0) is can


# ---------------------------------------------------------------- engine


def engine(bash: Bash, *, systemd: bool = False, service: bool = False, after: str = "dockerd") -> str:
    """An engine that is silent until the stand-in named `after` was called."""
    bash.tool("docker", f'grep -q "^{after}" "$LOG"')
    for name in ("systemctl", "service", "dockerd", "setsid", "rm"):
        bash.tool(name, 'shift; exec "$@"' if name == "setsid" else "")
    return (
        ROOT_USER
        + f"has_systemd() {{ {'true' if systemd else 'false'}; }}\n"
        + f"has_engine_service() {{ {'true' if service else 'false'}; }}\n"
        + 'process_runs() { [ "$1" = dockerd ] && grep -q "^dockerd" "$LOG"; }\n'
        + 'ENGINE_LOG="$LOG.engine"\nunset DOCKER_HOST\n'
    )


def test_an_engine_is_started_by_systemd_where_it_runs(bash: Bash) -> None:
    done = bash(engine(bash, systemd=True, after="systemctl start docker") + "start_engine")
    assert done.status == 0, done.stderr
    assert "systemctl start docker" in bash.log
    assert not any(line.startswith(("dockerd", "service")) for line in bash.log)


@pytest.mark.slow
def test_an_engine_is_started_detached_where_nothing_else_starts_it(bash: Bash) -> None:
    done = bash(engine(bash) + "start_engine")
    assert done.status == 0, done.stderr
    assert "dockerd " in bash.log
    assert "metallize" not in done.stdout
    assert f"its log is {bash.log_file}.engine" in done.stderr


@pytest.mark.slow
def test_what_a_killed_engine_left_behind_is_removed_first(bash: Bash) -> None:
    assert bash(engine(bash) + "start_engine").status == 0
    [removal] = [line for line in bash.log if line.startswith("rm ")]
    assert "/var/run/docker.pid" in removal
    assert "/var/run/docker/containerd/containerd.pid" in removal
    assert bash.log.index(removal) < bash.log.index("dockerd ")


@pytest.mark.slow
def test_an_engine_that_dies_shows_its_last_words_at_once(bash: Bash) -> None:
    script = engine(bash, after="never")
    bash.tool("dockerd", "echo 'failed to start daemon: no iptables here' >&2")
    done = bash(script + "process_runs() { false; }\nstart_engine")
    assert done.status == 3
    assert "no iptables here" in done.stderr
    assert "did not come up" in done.stderr
    assert "next:" in done.stderr


def test_an_engine_named_by_docker_host_is_not_started_here(bash: Bash) -> None:
    done = bash(engine(bash, systemd=True) + "DOCKER_HOST=tcp://192.0.2.1:2375\nstart_engine")
    assert done.status == 3
    assert "192.0.2.1" in done.stderr
    assert not any(line.startswith("systemctl") for line in bash.log)


@pytest.mark.parametrize("member", [False, True])
def test_a_user_outside_the_engines_group_is_let_in_and_goes_on(bash: Bash, member: bool) -> None:
    bash.env["GROUPS_OF"] = "docker" if member else ""
    bash.tool("sudo")
    bash.tool("sg", 'shift 2; exec sh -c "$1"')
    bash.tool("next", 'printf "<%s>" "$@" >>"$LOG"')
    done = bash(
        PLAIN_USER + "missing_packages() { :; }\nemulation_works() { :; }\n"
        "engine_state() { echo denied; }\nENGINE_SOCKET=/nowhere\n"
        + """setup_host next "two words" "it's" '$HOME' ''"""
    )
    assert done.status == 0, done.stderr
    assert ("sudo usermod -aG docker ann" in bash.log) is not member
    assert "<two words><it's><$HOME><>" in bash.log, "arguments survive the two shells between"


def test_a_user_who_is_still_refused_is_not_sent_round_in_circles(bash: Bash) -> None:
    bash.env |= {"GROUPS_OF": "docker", "METALLIZE_IN_GROUP": "1"}
    bash.tool("sg")
    done = bash(
        PLAIN_USER + "missing_packages() { :; }\nemulation_works() { :; }\n"
        "engine_state() { echo denied; }\nstart_engine() { :; }\nsetup_host next"
    )
    assert done.status == 3
    assert "log out and in again" in done.stderr
    assert bash.log == []


# ---------------------------------------------------------------- virtual environment
