"""Recorded outputs of probes, judged."""

# ruff: noqa: E501 - one case of the table stays on one line

from __future__ import annotations

import pytest

from tests.unit.checks.conftest import Judge

UNIT = "init systemd\nLoadState loaded\nActiveState {}\nSubState {}\nResult {}\nenabled_status {}\nenabled {}\n"
TCP = "tcp 00000000:0016\ntcp6 00000000000000000000000000000000:0016\nmetallize-port-done\n"
FILE = "exists yes\nfiletype file\nmode 644\nsize 3\nuid 0\ngid 0\nowner root\ngroup root\n"
MOUNTS = (
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw,errors=remount-ro\n"
    "40 22 0:35 / / rw,noatime - overlay overlay rw,lowerdir=/a\n"
    "41 22 0:36 / /mnt rw - tmpfs tmpfs rw\n"
    "blocks 1000 250\ndone\n"
)


@pytest.mark.parametrize(
    ("options", "output", "attribute", "holds", "actual"),
    [
        ("service: {ssh: {enabled: true}}", UNIT.format("active", "running", "success", 0, "enabled"), "enabled", True, "true"),
        ("service: {ssh: {running: true}}", UNIT.format("active", "running", "success", 0, "enabled"), "running", True, "true"),
        ("service: {ssh: {running: true}}", UNIT.format("reloading", "reload", "success", 0, "enabled"), "running", True, "true"),
        ("service: {ssh: {running: true}}", UNIT.format("activating", "start", "success", 0, "enabled"), "running", False, "false"),
        ("service: {ssh: {running: false}}", UNIT.format("failed", "failed", "exit-code", 0, "enabled"), "running", True, "false"),
        ("service: {ssh: {enabled: true}}", UNIT.format("inactive", "dead", "success", 1, "disabled"), "enabled", False, "false"),
        ("service: {x: {enabled: true}}", "init openrc\nlevel.default default\nrunning yes\n", "enabled", True, "true"),
        ("service: {x: {runlevels: [default]}}", "init openrc\nlevel.default default\nrunning yes\n", "runlevels", True, '["default"]'),
        ("service: {x: {running: true}}", "init sysv\nrunning no\n", "running", False, "false"),
        ("service: {x: {enabled: false}}", "", "enabled", False, "not seen"),
        ("port: {tcp:22: {listening: true}}", TCP, "listening", True, "true"),
        ("port: {22: {listening: true, ip: [0.0.0.0]}}", TCP, "ip", True, '["0.0.0.0"]'),
        ("port: {tcp6:22: {listening: true, ip: ['::']}}", TCP, "ip", True, '["::"]'),
        ("port: {udp:22: {listening: false}}", "metallize-port-done\n", "listening", True, "false"),
        ("port: {tcp:22: {listening: false}}", "", "listening", False, "not seen"),
        ("port: {x: {port: 'tcp:22', listening: true}}", TCP, "listening", True, "true"),
        ("file: {/x: {exists: true}}", FILE, "exists", True, "true"),
        ("file: {/x: {exists: false}}", FILE, "exists", False, "true"),
        ("file: {/x: {exists: false}}", "exists no\n", "exists", True, "false"),
        ("file: {/x: {exists: false}}", "exists /root may not be searched by admin\n", "exists", False, "not seen"),
        ("file: {/x: {exists: true, mode: '0644'}}", FILE, "mode", True, '"0644"'),
        ("file: {/x: {exists: true, mode: 0644}}", FILE, "mode", True, '"0644"'),
        ("file: {/x: {exists: true, mode: '1777'}}", FILE, "mode", False, '"0644"'),
        ("file: {/x: {exists: true, size: {gt: 2}}}", FILE, "size", True, "3"),
        ("file: {/x: {exists: true, owner: root}}", FILE, "owner", True, '"root"'),
        ("file: {/x: {exists: true, filetype: symlink}}", FILE, "filetype", False, '"file"'),
        ("file: {/x: {exists: true, linked-to: y}}", FILE, "linked-to", False, "not seen"),
        ("file: {/x: {exists: true, contents: [b, '!c']}}", f"{FILE}--contents--\na\nb\n", "contents", True, '"a\\nb\\n"'),
        ("file: {/x: {exists: true, contents: ''}}", f"{FILE}--contents--\n", "contents", True, '""'),
        ("file: {/x: {exists: true, contents: [a]}}", f"{FILE}unread cat: Permission denied\n", "contents", False, "not seen"),
        ("file: {/x: {exists: true, contents: ['--contents--']}}", f"{FILE}--contents--\n--contents--\n", "contents", True, '"--contents--\\n"'),
        ("command: {x: {exit-status: 0}}", "", "exit-status", True, "0"),
        ("command: {x: {exit-status: {lt: 2}}}", "", "exit-status", True, "0"),
        ("command: {x: {exit-status: 0, stdout: ['/^6\\./']}}", "6.12\n", "stdout", True, '"6.12\\n"'),
        ("command: {x: {exit-status: 0, stderr: ''}}", "", "stderr", True, '""'),
        ("package: {x: {installed: true}}", "tool dpkg\nversion.1:9.2p1-2 install ok installed\n", "installed", True, "true"),
        ("package: {x: {installed: true, versions: [9.2p1-2]}}", "tool dpkg\nversion.9.2p1-2 install ok installed\n", "versions", True, '["9.2p1-2"]'),
        ("package: {x: {installed: true}}", "tool dpkg\nversion. deinstall ok config-files\n", "installed", False, "false"),
        ("package: {x: {installed: false}}", "tool dpkg\n", "installed", True, "false"),
        ("package: {x: {installed: false}}", "", "installed", False, "not seen"),
        ("user: {admin: {exists: true, uid: 1000, home: /home/admin, shell: /bin/bash, groups: [sudo]}}", "passwd admin:x:1000:1000::/home/admin:/bin/bash\ngroup admin\ngroup sudo\ngrouped\ndone\n", "groups", True, '["admin", "sudo"]'),
        ("user: {admin: {exists: true, uid: '1000'}}", "passwd admin:x:1000:1000::/home/admin:/bin/bash\ndone\n", "uid", True, '"1000"'),
        ("user: {admin: {exists: false}}", "done\n", "exists", True, "false"),
        ("user: {0: {exists: true}}", "passwd root:x:0:0:root:/root:/bin/bash\ndone\n", "exists", False, "false"),
        ("group: {sudo: {exists: true, gid: 27}}", "group sudo:x:27:admin\ndone\n", "gid", True, '"27"'),
        ("group: {sudo: {exists: true}}", "", "exists", False, "not seen"),
        ("mount: {/: {exists: true, filesystem: overlay}}", MOUNTS, "filesystem", True, '"overlay"'),
        ("mount: {/: {exists: true, opts: [noatime]}}", MOUNTS, "opts", True, '["rw", "noatime"]'),
        ("mount: {/: {exists: true, vfs-opts: [lowerdir=/a]}}", MOUNTS, "vfs-opts", True, '["rw", "lowerdir=/a"]'),
        ("mount: {/mnt/: {exists: true, usage: {lt: 80}}}", MOUNTS, "usage", True, "75"),
        ("mount: {/srv: {exists: true}}", MOUNTS, "exists", False, "false"),
        ("process: {sshd: {running: true}}", "pid 7\ndone\n", "running", True, "true"),
        ("process: {sshd: {running: false}}", "done\n", "running", True, "false"),
        ("process: {sshd: {running: false}}", "", "running", False, "not seen"),
        ("interface: {lo: {exists: true, addrs: [127.0.0.1/8]}}", "exists yes\nmtu 65536\nip yes\naddr.127.0.0.1/8 inet\naddr.::1/128 inet6\n", "addrs", True, '["127.0.0.1/8", "::1/128"]'),
        ("interface: {lo: {exists: true, mtu: 1500}}", "exists yes\nmtu 65536\n", "mtu", False, "65536"),
        ("interface: {lo: {exists: true, addrs: [x]}}", "exists yes\nmtu 65536\n", "addrs", False, "not seen"),
        ("kernel-param: {kernel.ostype: {value: Linux}}", "--contents--\nLinux\n", "value", True, '"Linux"'),
        ("kernel-param: {net.core.somaxconn: {value: {gt: 200}}}", "--contents--\n128\n", "value", False, '"128"'),
        ("kernel-param: {net.x: {value: 1}}", "missing there is no such parameter\n", "value", False, "not seen"),
    ],
)  # fmt: skip
def test_a_recorded_output(judge: Judge, options: str, output: str, attribute: str, holds: bool, actual: str) -> None:
    claim = judge(options, output)[attribute]
    assert (claim.holds, claim.actual) == (holds, actual), claim
    assert claim.expected
    assert not claim.skipped


def test_attributes_of_what_is_not_there_are_skipped(judge: Judge) -> None:
    claims = judge("file: {/x: {exists: true, mode: '0644'}}", "exists no\n")
    assert not claims["exists"].holds
    assert claims["mode"].skipped
    assert claims["mode"].holds
    claims = judge("file: {/x: {exists: false, mode: '0644'}}", "exists no\n")
    assert claims["exists"].holds
    assert claims["mode"].skipped


def test_a_claim_that_fails_says_why(judge: Judge) -> None:
    failed = UNIT.format("failed", "failed", "exit-code", 0, "enabled")
    assert judge("service: {ssh: {running: true}}", failed)["running"].note == (
        "its state is failed (failed), result exit-code"
    )
    unknown = "init systemd\nLoadState not-found\nActiveState inactive\nSubState dead\nenabled_status 1\nenabled \n"
    assert judge("service: {ssh: {running: true}}", unknown)["running"].note == "there is no such unit"
    disabled = UNIT.format("inactive", "dead", "success", 1, "disabled")
    assert judge("service: {ssh: {enabled: true}}", disabled)["enabled"].note == "systemctl is-enabled says disabled"
    only6 = "tcp6 00000000000000000000000000000000:0016\nmetallize-port-done\n"
    assert judge("port: {tcp:22: {listening: true}}", only6)["listening"].note == "it is bound as tcp6:22 only"
    removed = "tool dpkg\nversion. deinstall ok config-files\n"
    assert judge("package: {x: {installed: true}}", removed)["installed"].note == (
        "dpkg says: deinstall ok config-files"
    )
    claims = judge("command: {x: {exit-status: 0}}", "", status=1, stderr="a\nno such thing\n")
    assert claims["exit-status"].note == "it said: no such thing"


def test_a_command_that_took_too_long(judge: Judge) -> None:
    claims = judge("command: {x: {exit-status: 124, timeout: 1000}}", "", status=124, seconds=1.1)
    assert claims["exit-status"].note.startswith("the command did not end within 1 s")
    assert judge("command: {x: {exit-status: 124}}", "", status=124, seconds=0.2)["exit-status"].holds


def test_an_empty_list_is_told_to_assert_nothing(judge: Judge) -> None:
    claim = judge("file: {/x: {exists: true, contents: []}}", FILE)["contents"]
    assert claim.holds
    assert claim.skipped
    assert claim.note == "an empty list asserts nothing"
