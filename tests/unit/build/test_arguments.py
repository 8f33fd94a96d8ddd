"""Arguments that nobody takes, passwords that do not agree, and passwords that Docker is not told."""
# ruff: noqa: E501 - one case a line

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from metallize.build.arguments import may_set_passwords, problems, without_passwords
from metallize.build.dockerfile import parse
from metallize.build.password_hash import hashed, sha512_crypt
from metallize.build.sources import LayerSource, read_layer
from metallize.catalog import Catalog
from metallize.errors import Location
from metallize.model.boot import Boot, Login, Ssh
from metallize.model.catalogue import Generator
from metallize.model.loaded import Profile
from tests.conftest import ROOT

from .conftest import GENERATOR, ON_SOURCE, Layers, profile

ADMIN = read_layer(Catalog().layers["admin-user.dockerfile"])
PLACES = {
    ("args", key): Location(path=Path("p.yaml"), line=line, column=3)
    for line, key in enumerate(("admin_pasword", "admin_password", "admin_password_hash", "level", "port"), start=2)
} | {("boot", way, "password"): Location(path=Path("p.yaml"), line=20, column=9) for way in ("login", "ssh")}
PLAIN = dataclasses.replace(GENERATOR, options={"level": GENERATOR.options["level"]})
VECTORS = {  # as crypt(3) of glibc makes them
    ("Hello world!", "saltstring"): "svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ("", "x"): "QSmr1Bx2g4O6BzKvdkgOcyU6H91X6I/XBv5pSalMhSPkwdH6Beo3F455xZJg0v//bxVK5F4OE5k1.0xuR26MK0",
    ("a" * 63, "abcdefghijklmnop"): "7FM/o7n8kZMKEMX8y6cHV/tYWFJ7F1WyCYLXWYspQuqWMEf.4K3UFQ60YiTxUeFwNSPIEcz6QvCWl9SsxKgxO/",
    ("b" * 64, "./"): "cEvjt/w1MxMbHLqzEHZrAMQUQbC9IRDueFCexFxxmS52BaAU1xlf3GHrM82FHAgg2gDxMEA7hmSFxMat8iAg3.",
    ("c" * 65, "q1"): "8PTwH/jWMFRjNnIdM.FkQJmTmBzmmxRC347mki.0oFNSUySCsg7SMythXlA563h6uTdHeBg8m4rBQKjwWQ7F31",
    ("naïve pässword", "saltsalt"): "ans3.3aNZDv5HLylkVKgNBvQLVuinE77mcSAKcD69p3nNQu15MBqwEhR6q21VE5DOzBoz9l3PRXuRRDIhvGqS/",
    ("d" * 200, "0123456789abcdef"): "6q/G.xFQbbEvq5Hotx9jmXTfdNbGIsYFMMqDk6AsRQ8QpEibqcxuLN6.rEqNS8xuXdnsQtEQ1I.sAJv7DQsXj0",
}  # fmt: skip


def given(args: dict[str, str], **more: Any) -> Profile:
    return profile(args=args, locations=PLACES, **more)


def told(profile: Profile, *layers: LayerSource, generator: Generator = GENERATOR) -> list[str]:
    return [str(each) for each in problems(profile, ["debian:trixie", *layers], generator)]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            "admin_pasword",
            "p.yaml:2:3: argument `admin_pasword`: no layer of the profile declares METALLIZE_ADMIN_PASWORD, so it would do nothing (did you mean `admin_password`?)",
        ),
        ("level", "(it is an option of generator `livecd`: output.options.level)"),
        ("memory", "(it belongs in `boot`)"),
        ("port", "(a layer declares PORT: rename it METALLIZE_PORT there, for a profile to set it)"),
        ("zone", "(a layer declares METALLIZE_Zone, and a profile sets names in capitals only)"),
        ("src_img_", "there is "),
        ("fstab", "there is "),
        ("native_img", "there is "),
    ],
)
def test_an_argument_that_nobody_takes_is_told(layers: Layers, key: str, said: str) -> None:
    app = layers.read("app.dockerfile", f"{ON_SOURCE}ARG PORT=80\nARG METALLIZE_Zone=a\n")
    [problem] = told(given({key: "s3cret"}), ADMIN, app)
    assert said in problem
    assert "s3cret" not in problem


def test_one_that_no_layer_could_take_says_so(layers: Layers) -> None:
    [problem] = told(given({"colour": "red"}), layers.read("a.dockerfile"), generator=PLAIN)
    assert problem.endswith("(none of its layers takes an argument)")


def test_what_a_layer_declares_in_any_place_is_known(layers: Layers) -> None:
    early = layers.read("early.dockerfile", f"ARG METALLIZE_A METALLIZE_B=1 \\\n  METALLIZE_C=2\n{ON_SOURCE}RUN true\n")
    assert told(given({"a": "1", "B": "2", "c": "3", "admin_user": "x"}), early, ADMIN) == []


def test_compression_is_the_generators() -> None:
    args = {"compression": "xz"}
    assert told(given(args)) == []
    assert told(given(args, several=True), generator=PLAIN) == []  # another output's
    [problem] = told(given(args), ADMIN, generator=PLAIN)
    assert "`compression`: no layer of the profile declares METALLIZE_COMPRESSION" in problem


@pytest.mark.parametrize("name", sorted(Catalog().profiles))
def test_every_shipped_profile_goes_on_building(name: str) -> None:
    from metallize.config import load_profiles

    catalog = Catalog()
    for each in load_profiles(catalog.profiles[name], vocabulary=catalog.vocabulary()):
        found = [catalog.layer(image, beside=ROOT / "profiles") for image in each.images]
        parts = [read_layer(layer) for layer in found if layer is not None]
        assert problems(each, ["debian:trixie", *parts], catalog.generators[each.output.generator]) == []


def boot(**ways: Any) -> Boot:
    return Boot(**ways)


LOGIN = boot(login=Login(user="admin", password="other"))


def test_a_login_with_another_password_than_the_layers_give_is_told_before_the_build() -> None:
    [problem] = told(given({}, boot=LOGIN), ADMIN)
    assert problem.startswith("p.yaml:20:9: `boot.login.password` is not the password that admin-user.dockerfile gives")
    assert "args.admin_password says which: admin-user.dockerfile's default" in problem
    [problem] = told(given({"admin_password": "s3cret"}, boot=LOGIN), ADMIN)
    assert "args.admin_password says which: p.yaml:3:3" in problem
    assert "s3cret" not in problem
    assert "other" not in problem
    ssh = boot(ssh=Ssh(user="admin", password="other"), login=Login(user="admin", password="admin"))
    [problem] = told(given({}, boot=ssh), ADMIN)
    assert "`boot.ssh.password`" in problem


@pytest.mark.parametrize(
    ("args", "boot"),
    [
        ({}, None),
        ({}, Boot(login=Login(user="root", password="x"))),
        ({}, Boot(ssh=Ssh(user="admin", key="ephemeral"))),
        ({"admin_password": "other"}, LOGIN),
        ({"admin_user": "ops"}, LOGIN),
        ({"admin_password_hash": "$6$a$b"}, LOGIN),  # what it is the hash of is not known
        ({}, LOGIN.model_copy(update={"seed": {"user-data": "x"}})),
    ],
)
def test_what_agrees_or_cannot_be_known_is_let_pass(args: dict[str, str], boot: Boot | None) -> None:
    assert told(given(args, boot=boot), ADMIN) == []


ABOVE = {
    "RUN echo admin:other | chpasswd": True,
    "RUN usermod -p x admin": True,
    "COPY shadow /etc/": True,
    "COPY root /": True,
    'COPY ["a b", "/etc/x"]': True,
    "COPY set-up /opt/set-up\nRUN /opt/set-up --all": True,
    "RUN --mount=target=/ctx sh /ctx/x": True,
    "RUN <<END\nset-up\nEND": True,
    "WORKDIR /\nCOPY root .": True,
    "RUN --mount=type=cache,target=/var/cache/apt apt-get install -y nginx": False,
    "COPY app /srv/app\nENV A=b": False,
    "RUN useradd --system web": False,
    "ENV A=passwd": False,
}


@pytest.mark.parametrize("text", ABOVE)
def test_a_layer_above_that_may_change_the_password_ends_what_is_known(layers: Layers, text: str) -> None:
    above = layers.read("above.dockerfile", f"{ON_SOURCE}{text}\n")
    assert may_set_passwords(parse(f"{ON_SOURCE}{text}\n")) is ABOVE[text]
    assert (told(given({}, boot=LOGIN), ADMIN, above) == []) is ABOVE[text]
    assert told(given({}, boot=LOGIN), above, ADMIN)  # below, it cannot


def test_the_password_of_something_else_is_no_login(layers: Layers) -> None:
    text = "ARG METALLIZE_DB_USER=admin\nARG METALLIZE_DB_PASSWORD=x\nRUN createuser $METALLIZE_DB_USER\n"
    agreed = boot(login=Login(user="admin", password="admin"))
    assert told(given({}, boot=agreed), ADMIN, layers.read("db.dockerfile", ON_SOURCE + text)) == []


def test_a_password_and_a_hash_are_one_too_many() -> None:
    [problem] = told(given({"admin_password": "s3cret", "admin_password_hash": "$6$a$b"}), ADMIN)
    assert problem == (
        "p.yaml:3:3: arguments `admin_password` and `admin_password_hash` both say what the password is "
        "(leave `admin_password` out)"
    )


def test_docker_is_told_the_hash_of_a_password(layers: Layers) -> None:
    arguments = {"METALLIZE_ADMIN_PASSWORD": "s3cret", "METALLIZE_ADMIN_USER": "ops", "METALLIZE_DB_PASSWORD": "x"}
    database = layers.read("db.dockerfile", f"{ON_SOURCE}ARG METALLIZE_DB_PASSWORD\n")
    given = without_passwords(arguments, ["debian:trixie", ADMIN, database], "my")
    assert given["METALLIZE_ADMIN_USER"] == "ops"
    assert given["METALLIZE_DB_PASSWORD"] == "x"  # that layer takes no hash
    assert "METALLIZE_ADMIN_PASSWORD" not in given
    assert given["METALLIZE_ADMIN_PASSWORD_HASH"].startswith("$6$")
    assert given == without_passwords(arguments, ["debian:trixie", ADMIN, database], "my")  # the same bytes each time
    other = without_passwords(arguments, ["debian:trixie", ADMIN, database], "other")
    assert other["METALLIZE_ADMIN_PASSWORD_HASH"] != given["METALLIZE_ADMIN_PASSWORD_HASH"]


def test_a_layer_that_takes_only_the_password_gets_it(layers: Layers) -> None:
    """Two layers with one argument: both must get what they understand."""
    own = layers.read("own.dockerfile", f"{ON_SOURCE}ARG METALLIZE_ADMIN_PASSWORD\n")
    arguments = {"METALLIZE_ADMIN_PASSWORD": "s3cret"}
    assert without_passwords(arguments, [ADMIN, own], "my") == arguments
    assert without_passwords({"METALLIZE_ADMIN_PASSWORD": ""}, [ADMIN], "my") == {"METALLIZE_ADMIN_PASSWORD": ""}


def test_a_default_goes_as_a_hash_too_the_same_in_all_profiles(layers: Layers) -> None:
    """Else two hosts, whose layers are built apart, make images that differ in a salt."""
    first, second = (without_passwords({}, ["debian:trixie", ADMIN], name) for name in ("my", "other"))
    assert first == second
    assert set(first) == {"METALLIZE_ADMIN_PASSWORD_HASH"}
    assert first["METALLIZE_ADMIN_PASSWORD_HASH"].startswith("$6$")
    for name in ("METALLIZE_ADMIN_PASSWORD", "METALLIZE_ADMIN_PASSWORD_HASH"):
        assert without_passwords({name: ""}, [ADMIN], "my") == {name: ""}
    only_password = layers.read("own.dockerfile", f"{ON_SOURCE}ARG METALLIZE_ADMIN_PASSWORD=other\n")
    another = layers.read(
        "two.dockerfile", f"{ON_SOURCE}ARG METALLIZE_ADMIN_PASSWORD=two\nARG METALLIZE_ADMIN_PASSWORD_HASH=\n"
    )
    for beside in (only_password, another):
        assert without_passwords({}, [ADMIN, beside], "my") == {}


@pytest.mark.parametrize(("password", "salt"), VECTORS)
def test_the_hash_is_what_crypt_makes(password: str, salt: str) -> None:
    assert sha512_crypt(password.encode(), salt) == f"$6${salt}${VECTORS[password, salt]}"


def test_the_salt_does_not_follow_from_the_password() -> None:
    salts = {hashed(password, "seed").split("$")[2] for password in ("a", "b", "ü" * 300, "")}
    assert len(salts) == 1
    assert len(salts.pop()) == 16
