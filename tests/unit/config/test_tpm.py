"""An image whose /var is locked by a TPM, and the machines that are to boot it."""

from __future__ import annotations

from tests.unit.config.conftest import Load, Problems

AB = """\
images: [debian:trixie, debian-disk.dockerfile, debian-ab.dockerfile, debian-ab-tpm2.dockerfile]
output:
  generator: ab
  file: my.img
  version: "1"
  options: {encrypt: tpm2}
boot:
  machines: [seabios, ovmf]
  login: {user: admin, password: admin}
"""
MAPPING = AB.replace("[seabios, ovmf]", "{one: {machine: ovmf, tpm: true}, two: {machine: ovmf}}")


def test_each_machine_needs_a_tpm(problems: Problems) -> None:
    first, second = problems(AB)
    assert (first.location.line, first.location.column) == (8, 14)
    assert (
        first.message
        == "machine `seabios` has no TPM, and output.options has `encrypt: tpm2`, which needs one to come up"
    )
    assert first.hint is not None
    assert "tpm: true" in first.hint
    assert "machine `ovmf`" in second.message


def test_what_a_machine_says_of_itself_counts(problems: Problems) -> None:
    [only] = problems(MAPPING)
    assert "machine `two`" in only.message
    assert only.location.line == 8
    [none] = problems(AB.replace("[seabios, ovmf]", "{one: {machine: ovmf, tpm: false}}\n  tpm: true"))
    assert "machine `one`" in none.message


def test_machines_that_the_generator_names_need_one_too(problems: Problems) -> None:
    found = problems(AB.replace("  machines: [seabios, ovmf]\n", ""))
    assert [each.location.line for each in found] == [7, 7]


def test_who_has_a_tpm_or_does_not_come_up_is_no_problem(load: Load) -> None:
    load(f"{AB}  tpm: true\n")
    load(AB.replace("encrypt: tpm2", "encrypt: none"))
    load(AB.replace("[seabios, ovmf]", "{one: {machine: ovmf-secureboot, expect: refused}}"))


def test_no_register_is_taken_that_the_next_release_changes(load: Load, problems: Problems) -> None:
    profile = load(f"{AB}  tpm: true\n".replace("tpm2}", "tpm2, pcrs: 0+7}"))
    assert profile.output.options["pcrs"] == "0+7"
    for pcrs in ("11", "7+11", "4", '"7,0"', '""'):
        [problem] = problems(f"{AB}  tpm: true\n".replace("tpm2}", f"tpm2, pcrs: {pcrs}}}"))
        assert "`pcrs`" in problem.message
