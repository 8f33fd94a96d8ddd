"""Every mistake is told with its place, what was written, and what to do; all of them in one run."""

# ruff: noqa: E501 - one case of the table stays on one line

from __future__ import annotations

from pathlib import Path

import pytest

from metallize.config import Vocabulary, load_profile
from metallize.errors import ExitCode, ProfileError
from tests.unit.config.conftest import GOOD, Load, Problems

CASES: dict[str, tuple[str, str, str, str]] = {
    # what: (replaced, by, line:column, what is said)
    "unknown key": ("args:", "arg:", "1:1", "unknown key `arg` (did you mean `args`?)"),
    "unknown key in a section": ("  file:", "  flie:", "8:3", "unknown key `flie` (did you mean `file`?)"),
    "unknown key in boot": ("  login:", "  logn:", "11:3", "unknown key `logn` (did you mean `login`?)"),
    "missing key": ("  file: my.iso\n", "", "6:1", "the key `file` is missing"),
    "no images": ("images:\n  - debian:trixie\n  - debian-live.dockerfile\n", "", "1:1", "`images` is missing"),
    "wrong type": ("[seabios, ovmf]", "seabios", "10:13", "a list or a mapping, not text: `seabios`"),
    "list for a mapping": ("{user: admin, password: admin}", "[admin]", "11:10", "a mapping is wanted here, not a list"),
    "text for a number": ("machines:", "cpus: many\n  machines:", "10:9", "a whole number is wanted here, not text: `many`"),
    "truth for a number": ("machines:", "cpus: yes\n  machines:", "10:9", "a whole number is wanted here, not true or false"),
    "number for a truth": ("machines:", "reboot: 1\n  machines:", "10:11", "true or false is wanted here, not a number: `1`"),
    "truth for text": ("password: admin", "password: on", "11:34", 'write "on" for the text'),
    "duplicate key": ("images:", "args: {}\nimages:", "3:1", "duplicate key `args`; it stands first at 1:1"),
    "duplicate key inside": ("user: admin,", "user: admin, user: x,", "11:24", "duplicate key `user`; it stands first at 11:11"),
    "unknown layer": ("debian-live.", "debian-lve.", "5:5", "unknown layer `debian-lve.dockerfile` (did you mean `debian-live.dockerfile`?)"),
    "image reference on top": ("debian-live.dockerfile", "alpine:3.20", "5:5", "unknown layer `alpine:3.20`"),
    "unknown key of the app": ("  file:", "  app: {nam: x}\n  file:", "8:9", "unknown key `nam` (did you mean `name`?)"),
    "unit without a suffix": ("  file:", "  app: {after: [web]}\n  file:", "8:17", "`web` does not have the form"),
    "no image reference": ("debian:trixie", "Debian", "4:5", "`Debian` is neither a layer nor an image reference"),
    "unknown first layer": ("debian:trixie", "debian.dockerfile", "4:5", "unknown layer `debian.dockerfile`"),
    "unknown generator": ("livecd", "livecdd", "7:14", "unknown generator `livecdd` (did you mean `livecd`?)"),
    "unknown machine": ("seabios", "seabois", "10:14", "unknown machine `seabois` (did you mean `seabios`?)"),
    "unknown machine in a mapping": ("[seabios, ovmf]", "{pc: {machine: ofmv}}", "10:28", "unknown machine `ofmv` (did you mean `ovmf`?)"),
    "machine twice": ("[seabios, ovmf]", "[ovmf, ovmf]", "10:20", "machine `ovmf` is named twice"),
    "a rule of a release": ("boot:", "release: {size: 5%}\nboot:", "9:17", "`5%` does not have the form"),
    "an unknown rule of a release": ("boot:", "release: {packages: {gone: deny}}\nboot:", "9:22", "unknown key `gone`"),
    "no judgement of a rule": ("boot:", "release: {packages: {new: no}}\nboot:", "9:27", "`no` is not one of allow, deny"),
    "unknown kind": ("service:", "servce:", "13:5", "unknown assertion kind `servce` (did you mean `service`?)"),
    "unsupported kind": ("service: {ssh: {enabled: true}}", "registry: {x: {exists: true}}", "13:5", "goss's `registry` is Windows's, and no image here has one"),
    "unknown attribute": ("enabled", "enabeld", "13:21", "unknown key `enabeld` (did you mean `enabled`?)"),
    "unknown matcher": ("enabled: true", "enabled: {nott: false}", "13:31", "unknown matcher `nott` (did you mean `not`?)"),
    "attribute without value": ("enabled: true", "enabled:", "13:21", "`enabled` has no value"),
    "empty assert": ("\n    service: {ssh: {enabled: true}}", " {}", "12:3", "an empty mapping asserts nothing"),
    "empty kind": ("{ssh: {enabled: true}}", "{}", "13:5", "`service` names no resource"),
    "empty resource": ("{enabled: true}", "{}", "13:15", "`ssh` has no attributes"),
    "resource without claims": ("enabled: true", "title: x", "13:15", "nothing is asserted"),
    "empty list of patterns": ("service: {ssh: {enabled: true}}", "command: {ls: {exit-status: 0, stdout: []}}", "13:44", "an empty list asserts nothing"),
    "empty list of elements": ("service: {ssh: {enabled: true}}", "user: {x: {exists: true, groups: []}}", "13:38", "an empty list asserts nothing"),
    "missing attribute": ("{enabled: true}}", "{}}\n    user: {root: {uid: 0}}", "14:12", "the key `exists` is missing"),
    "impossible resource": ("service: {ssh: {enabled: true}}", "port: {tcp:99999: {listening: true}}", "13:12", "from 1 to 65535"),
    "wrong pattern": ("service: {ssh: {enabled: true}}", 'command: {ls: {exit-status: 0, stdout: ["/(/"]}}', "13:45", "is no regular expression"),
    "template": ("ssh:", '"{{.Vars.x}}":', "13:15", "Go templates are not supported"),
    "assertions and nobody logged in": ("  login: {user: admin, password: admin}\n", "", "11:3", "`assert` needs a shell in which to observe (declare `login` or `ssh`)"),
    "no suites": ("login:", "suites: []\n  login:", "11:3", "`suites` is empty"),
    "unknown suite": ("login:", "suites: [bsae]\n  login:", "11:12", "unknown suite `bsae` (did you mean `base`?)"),
    "suite twice": ("login:", "suites: [base, base]\n  login:", "11:18", "suite `base` is named twice"),
    "no machines": ("[seabios, ovmf]", "[]", "10:3", "`machines` is empty"),
    "unknown expectation": ("login:", "expect: refsed\n  login:", "11:11", "it is `booted`, `refused`, or {refused: RULE}"),
    "unknown rule of refusal": ("login:", "expect: {refused: secure-boot}\n  login:", "11:21", "no rule `secure-boot` by which a boot is refused"),
    "unknown rule of a machine": ("[seabios, ovmf]", "{ovmf: {expect: {refused: [uefi-shel]}}}", "10:40", "(did you mean `uefi-shell`?)"),
    "no rule of refusal": ("login:", "expect: {refused: []}\n  login:", "11:3", "it is `booted`, `refused`, or {refused: RULE}"),
    "no steps": ("login:", "steps: []\n  login:", "11:3", "`steps` is empty"),
    "step that does nothing": ("login:", "steps: [{timeout: 5s}]\n  login:", "11:11", "a step waits for something"),
    "step with a bad pattern": ("login:", "steps: [{expect: /(/}]\n  login:", "11:20", "is no regular expression"),
    "step that waits for nothing": ("login:", "steps: [{expect: /x*/}]\n  login:", "11:20", "it waits for nothing"),
    "step with an unknown key": ("login:", "steps: [{send: <entr>}]\n  login:", "11:18", "there is no key `<entr>` (did you mean `enter`?)"),
    "unknown attribute of a step": ("login:", "steps: [{expct: x, send: y}]\n  login:", "11:12", "unknown key `expct` (did you mean `expect`?)"),
    "budget of no stage": ("login:", "time: {kernal: 5s}\n  login:", "11:10", "unknown key `kernal` (did you mean `kernel`?)"),
    "budget of no unit": ("login:", "time: {units: {ssh: 5s}}\n  login:", "11:18", "`ssh` is no name of a unit (for example ssh.service)"),
    "moments of a power cut, and groups": (
        "login:",
        "power_cut: {moments: 5}\n  groups: {a: {run: ['true'], assert: {file: {/x: {exists: true}}}}}\n  login:",
        "11:3",
        "`power_cut.moments` and `groups` do not go together",
    ),
    "boots of no moments": ("login:", "power_cut: {boots: 3, moments: 2}\n  login:", "11:3", "there are no 3 of 2"),
    "power cut of no kind": ("login:", "power_cut: {sed: 1}\n  login:", "11:15", "unknown key `sed` (did you mean `seed`?)"),
    "no groups": ("login:", "groups: {}\n  login:", "11:3", "`groups` is empty"),
    "group that does nothing": ("login:", "groups: {full: {}}\n  login:", "11:12", "group `full` does nothing and asserts nothing"),
    "group with an unknown key": ("login:", "groups: {full: {rnu: [x]}}\n  login:", "11:19", "unknown key `rnu` (did you mean `run`?)"),
    "group with one command": ("login:", "groups: {full: {run: fill}}\n  login:", "11:19", "`run` is a list of commands, not text: `fill` (write [fill])"),
    "group with an unknown kind": ("login:", "groups: {full: {assert: {servce: {x: {}}}}}\n  login:", "11:28", "unknown assertion kind `servce`"),
    "group without a name": ("login:", "groups: {a b: {run: [x]}}\n  login:", "11:12", "`a b` is no name"),
    "no machines in a mapping": ("[seabios, ovmf]", "{}", "10:3", "`machines` is empty"),
    "no images in the list": ("\n  - debian:trixie\n  - debian-live.dockerfile", " []", "3:1", "`images` is empty"),
    "shell metacharacter": ("zstd", "zstd;reboot", "2:16", "argument `compression`: it holds `;`, which a shell gives a meaning: `zstd;reboot`"),
    "substitution": ("zstd", "$(id)", "2:16", "it holds `$`"),
    "backtick": ("zstd", '"`id`"', "2:16", "it holds ```"),
    "quote": ("zstd", "a'b", "2:16", "it holds `'`"),
    "line break": ("zstd", '"a\\nb"', "2:16", "it holds a line break: `a\\x0ab`"),
    "NUL": ("zstd", '"a\\0b"', "2:16", "it holds a NUL byte"),
    "control character": ("zstd", '"a\\eb"', "2:16", "it holds the control character U+001B"),
    "argument's name": ("compression:", "'a;b':", "2:3", "argument `a;b`: a name is letters, digits and _"),
    "argument's name with a line break": ("compression:", '"a\\nb":', "2:3", "argument `a\\x0ab`: a name is"),
    "reserved argument": ("compression:", "src_img:", "2:3", "METALLIZE_SRC_IMG is the image that a layer stands on"),
    "arguments that collide": ("compression: zstd", "A: 1\n  a: 2", "3:3", "argument `a` is METALLIZE_A, as `A` is"),
    "argument that is a list": ("zstd", "[zstd]", "2:3", "an argument is a single value"),
    "argument without value": ("zstd", "", "2:3", 'write "" for an empty one'),
    "password with a metacharacter": ("compression: zstd", "admin_password: pa$$word", "2:19", "argument `admin_password`: it holds `$`, which a shell gives a meaning (give its hash, as `openssl passwd -6` prints it, as `admin_password_hash`"),
    "password for its hash": ("compression: zstd", "admin_password_hash: s3cret", "2:24", "argument `admin_password_hash`: this is no hash of a password (write what `openssl passwd -6`"),
    "hash that runs on": ("compression: zstd", "admin_password_hash: $6$a$bcdefghijk;id", "2:24", "this is no hash of a password"),
    "norwegian argument": ("zstd", "no", "2:16", 'write "no" for the text, or false'),
    "layer above": ("debian-live.", "../debian-live.", "5:5", "it leaves its folder with `..`"),
    "absolute layer": ("debian-live.", "/debian-live.", "5:5", "it is an absolute path"),
    "image like an option": ("debian:trixie", "-v", "4:5", "it starts with `-`"),
    "file above": ("my.iso", "../my.iso", "8:9", "it names a folder"),
    "file in a folder": ("my.iso", "out/my.iso", "8:9", "it names a folder"),
    "absolute file": ("my.iso", "/etc/my.iso", "8:9", "it names a folder"),
    "unknown suffix": ("my.iso", "my.is0", "8:9", "the suffix `.is0` of `my.is0` is no image format (did you mean `.iso`?)"),
    "no suffix": ("my.iso", "my", "8:9", "is no image format"),
    "suffix of another generator": ("my.iso", "my.qcow2", "8:9", "generator `livecd` makes no `.qcow2` image"),
    "unknown option": ("my.iso", "my.iso\n  options: {compresion: xz}", "9:13", "no option `compresion` (did you mean `compression`?)"),
    "option out of its choices": ("my.iso", "my.iso\n  options: {compression: xzz}", "9:26", "it is not one of zstd, xz, lz4, gzip, lzma: `xzz` (did you mean `xz`?)"),
    "option out of its bounds": ("my.iso", "my.iso\n  options: {level: 23}", "9:20", "it is more than 22: `23`"),
    "option of a wrong type": ("my.iso", "my.iso\n  options: {level: high}", "9:20", "a whole number is wanted here: `high`"),
    "option of another format": ("livecd\n  file: my.iso", "ext4\n  file: my.img\n  options: {compress: true}", "9:13", "`compress` is for qcow2, and the image is raw (leave it out, or give `file` another suffix)"),
    "option with a metacharacter": ("my.iso", 'my.iso\n  options: {volume_id: "$X"}', "9:24", "it holds `$`"),
    "suite above": ("login:", "suites: [../base.yaml]\n  login:", "11:12", "suite `../base.yaml`: it leaves its folder"),
    "absolute suite": ("login:", "suites: [/etc/goss.yaml]\n  login:", "11:12", "it is an absolute path"),
    "dockerfile_dir above": ("args:", "metallize: {dockerfile_dir: ../x}\nargs:", "1:29", "`dockerfile_dir`: it leaves its folder"),
    "build_dir above": ("args:", "metallize: {build_dir: a/../../x}\nargs:", "1:24", "`build_dir`: it leaves its folder"),
    "absolute build_dir": ("args:", "metallize: {build_dir: /srv}\nargs:", "1:24", "is given with --build-dir"),
    "key above": ("login:", "ssh: {user: a, key: ../id}\n  login:", "11:23", "`key`: it leaves its folder"),
    "key in the home folder": ("login:", "ssh: {user: a, key: ~/.ssh/id}\n  login:", "11:23", "no plain relative path"),
    "ssh without password or key": ("login:", "ssh: {user: a}\n  login:", "11:3", "`ssh` names neither a password nor a key"),
    "user that is none": ("user: admin", "user: a b", "11:17", "`a b` is no name of a Linux user"),
    "password with a line break": ("password: admin", 'password: "a\\nb"', "11:34", "`password`: it holds a line break: `a\\x0ab`"),
    "key in capitals": ("login:", "SSH: {user: a, password: b}\n  login:", "11:3", "unknown key `SSH` (did you mean `ssh`?)"),
    "key that YAML reads as true": ("login:", "on: 1\n  login:", "11:3", "unknown key `on`"),
    "nothing under boot": (GOOD[GOOD.index("boot:") :], "boot:\n", "9:1", "`boot` is a mapping, not nothing"),
    "unit of time": ("login:", "timeout: 5min\n  login:", "11:12", "a duration is a number with s, m or h, like 90s or 5m, not `5min`"),
    "time without end": ("login:", "timeout: .inf\n  login:", "11:12", "a duration is"),
    "unit of size": ("login:", "memory: 1X\n  login:", "11:11", "a size is a number of bytes or a number with K, M, G or T, like 8G, not `1X`"),
    "size without end": ("login:", f"memory: {'9' * 400}G\n  login:", "11:11", "a size is"),
    "negative size": ("login:", "disk: -1\n  login:", "11:9", "a size is"),
    "too many processors": ("login:", "cpus: 65\n  login:", "11:9", "less than or equal to 64, not `65`"),
    "platform": ("args:", "platform: amd64\nargs:", "1:11", "`platform`: `amd64` is not supported (did you mean `linux/amd64`?)"),
    "platform of no machine": ("args:", "platform: linux/arm64\nargs:", "11:14", "machine `seabios` runs linux/amd64"),
    "console rule": ("login:", 'console: {forbid: ["("]}\n  login:', "11:22", "is no regular expression"),
    "empty console rule": ("login:", 'console: {allow: [""]}\n  login:', "11:21", "an empty expression matches every line"),
    "reach target": ("login:", "reach: {ssh:22: {}}\n  login:", "11:11", "a target is tcp:PORT"),
    "reach port": ("login:", "reach: {tcp:0: {}}\n  login:", "11:11", "a port is a number from 1 to 65535"),
    "reach key": ("login:", "reach: {tcp:22: {baner: x}}\n  login:", "11:20", "unknown key `baner` (did you mean `banner`?)"),
    "reach key of another scheme": ("login:", "reach: {tcp:22: {status: 200}}\n  login:", "11:20", "`status` means nothing for `tcp:22`"),
    "reach password of no user": ("login:", "reach: {tcp:22: {refuses_password: {password: x}}}\n  login:", "11:20", "user"),
    "reach password of http": ("login:", "reach: {http://:80: {refuses_password: {user: a, password: x}}}\n  login:", "11:24", "`refuses_password` means nothing for `http://:80`"),
    "reach pattern": ("login:", 'reach: {tcp:22: {banner: "/(/"}}\n  login:', "11:28", "is no regular expression"),
    "reach nothing": ("login:", "reach: {}\n  login:", "11:3", "`reach` is empty"),
    "boot parameter with a line break": ("my.iso", 'my.iso\n  kernel_boot_params: "a\\nb"', "9:23", "it holds a line break"),
    "boot parameter for the loader": ("my.iso", "my.iso\n  kernel_boot_params: a;b", "9:23", "which a boot loader gives a meaning"),
    "tab": ("  compression", "\tcompression", "2:1", "YAML indents with spaces, never with tabs"),
    "unclosed bracket": ("[seabios, ovmf]", "[seabios, ovmf", "11:8", "this is not YAML"),
    "undefined alias": ("zstd", "*zst", "2:16", "put text that starts with * in quotes"),
    "two documents": ("args:", "a: 1\n---\nargs:", "2:1", "remove the second `---`"),
    "unknown tag": ("zstd", "!!python/name:os.system x", "2:16", "the tag !!python/name:os.system is not supported"),
    "key that is a list": ("args:", "? [a]\n: 1\nargs:", "1:3", "a key must be text"),
    "merge of text": ("args:", "<<: x\nargs:", "1:5", "`<<` takes a mapping"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mistake_has_its_place_and_its_remedy(problems: Problems, case: tuple[str, str, str, str]) -> None:
    old, new, place, said = case
    found = problems(old, new)
    told = [str(problem).replace(str(problem.location.path), problem.location.path.name) for problem in found]
    assert any(text.startswith(f"p.yaml:{place}: ") and said in text for text in told), "\n".join(told)


def test_all_problems_come_at_once_and_in_order(problems: Problems) -> None:
    text = GOOD.replace("zstd", "a;b").replace("livecd", "livecdd").replace("ovmf", "omvf").replace("ssh:", "ssh/x:")
    found = problems(f"{text}colour: red\n")
    assert [(problem.location.line, problem.location.column) for problem in found] == [
        (2, 16),
        (7, 14),
        (10, 23),
        (13, 15),
        (14, 1),
    ]


def test_problems_of_suites_are_told_with_the_suite_as_place(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "goss.yaml").write_text("file:\n  /x: {exist: true}\n")
    found = problems("  assert:", "  suites: [goss.yaml]\n  assert:")
    assert {(problem.location.path.name, problem.location.line) for problem in found} == {("goss.yaml", 2)}


def test_bad_input_ends_with_its_exit_code(problems: Problems) -> None:
    assert ProfileError(problems("args:", "arg:")).exit_code is ExitCode.BAD_INPUT


@pytest.mark.parametrize(
    ("content", "place", "said"),
    [
        (b"", "1:1", "the file is empty"),
        (b"# nothing\n", "1:1", "the file is empty"),
        (b"just text", "1:1", "a profile is a mapping"),
        (b"- a\n- b\n", "1:1", "a profile is a mapping"),
        (b"args: {a: \xff}\n", "1:11", "not UTF-8"),
        (b"\x7fELF\x00\x01", "1:1", "U+007F"),
        ("args: {}".encode("utf-16"), "1:1", "not UTF-8"),
        (b"a: &a [*a]\n", "1:4", "an alias stands inside the very value that it names"),
        (b"[" * 5000, "1:51", "nested more than 50 levels deep"),
        (b"x" * (1 << 21), "1:1", "larger than 1 MiB"),
        (b"a: " + b"\n".join([b"&a [1]"]), "1:1", "unknown key `a`"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_profile(problems: Problems, content: bytes, place: str, said: str) -> None:
    told = [f"{problem.location.line}:{problem.location.column} {problem}" for problem in problems(content)]
    assert any(text.startswith(f"{place} ") and said in text for text in told), told


def test_an_alias_bomb_ends_early(problems: Problems) -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 20))
    found = problems(f"l0: &l0 x\n{levels}\n")
    assert any("expands to more than" in problem.message for problem in found)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path, vocabulary: Vocabulary) -> None:
    (tmp_path / "profile.yaml").write_text(GOOD)
    with pytest.raises(ProfileError, match=r"no such file .*did you mean `profile.yaml`"):
        load_profile(tmp_path / "profil.yaml", vocabulary=vocabulary)


def test_a_folder_is_no_profile(tmp_path: Path, vocabulary: Vocabulary) -> None:
    with pytest.raises(ProfileError, match="a folder, not a file"):
        load_profile(tmp_path, vocabulary=vocabulary)


def test_a_layer_that_is_a_link_out_of_its_folder(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "evil.dockerfile").symlink_to("/etc/passwd")
    found = problems("debian-live.dockerfile", "evil.dockerfile")
    assert [problem.message for problem in found] == [
        "layer `evil.dockerfile`: it leads out of its folder, by a symbolic link or by `..`"
    ]


def test_a_suite_that_is_a_link_out_of_its_folder(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "evil.yaml").symlink_to("/etc/hostname")
    found = problems("login:", "suites: [evil.yaml]\n  login:")
    assert "it leads out of its folder" in found[0].message


@pytest.mark.parametrize(
    ("overrides", "place", "said"),
    [
        ({"args.compression": "a;b"}, "--set args.compression=a;b:1:18", "it holds `;`"),
        ({"arg.x": "1"}, "--set arg.x=1:1:1", "unknown key `arg` (did you mean `args`?)"),
        ({"output.file": "../x.iso"}, "--set output.file=../x.iso:1:13", "it names a folder"),
        ({"output": "x"}, "--set output=x:1:1", "it is a list or a mapping"),
        ({"output.file.x": "y"}, "--set output.file.x=y:1:1", "`my.iso` has no keys"),
        ({"images.7": "y"}, "--set images.7=y:1:1", "the list has no item `7`"),
        ({"boot..x": "y"}, "--set boot..x=y:1:1", "a key is missing"),
        ({"boot.cpus": "many"}, "--set boot.cpus=many:1:11", "a whole number is wanted"),
        ({"boot.timeout": "1d"}, "--set boot.timeout=1d:1:14", "a duration is"),
    ],
)
def test_an_override_is_checked_and_told_as_such(
    problems: Problems, overrides: dict[str, str], place: str, said: str
) -> None:
    told = [str(problem) for problem in problems(overrides=overrides)]
    assert any(text.startswith(f"{place}: ") and said in text for text in told), told


def test_overrides_replace_and_add(load: Load) -> None:
    overrides = {
        "args.compression": "no",
        "args.extra": "1.10",
        "output.file": "other.iso",
        "output.options.level": "3",
        "boot.login.password": "yes",
        "boot.time.ready": "2m",
        "boot.reboot": "true",
        "images.0": "debian:bookworm",
        "platform": "linux/amd64",
    }
    profile = load(overrides=overrides)
    assert profile.args == {"compression": "no", "extra": "1.10"}
    assert profile.output.file == "other.iso"
    assert profile.output.options == {"level": 3}
    assert profile.images[0] == "debian:bookworm"
    assert profile.boot is not None
    assert profile.boot.login is not None
    assert profile.boot.login.password == "yes"
    assert profile.boot.reboot is True
    assert profile.boot.time.ready is not None


@pytest.mark.parametrize("value", ["s3c$ret", "[s3cret]", "{a: s3cret}", '"s3c\\nret"', "s3cret;", '"`s3cret`"'])
@pytest.mark.parametrize("key", ["admin_password", "admin_password_hash", "API_TOKEN", "db_secret"])
def test_a_secret_stands_in_no_message(problems: Problems, key: str, value: str) -> None:
    found = problems("compression: zstd", f"{key}: {value}")
    assert found
    assert "s3c" not in " ".join(str(each) for each in found)


def test_a_secret_of_the_command_line_stands_in_no_message(problems: Problems) -> None:
    [found] = problems(GOOD, overrides={"args.admin_password": "s3c$ret"})
    assert str(found).startswith("--set args.admin_password=...:1:21: argument `admin_password`: it holds `$`")


@pytest.mark.parametrize(
    "value",
    [
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7",
        "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voGdPQd8iKwSMHWjl9xZdaBF2",
        "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZabcde",
        '""',
    ],
)
def test_a_hash_of_a_password_is_taken_as_it_is(load: Load, value: str) -> None:
    assert load("compression: zstd", f"admin_password_hash: {value}").args["admin_password_hash"] == value.strip('"')
