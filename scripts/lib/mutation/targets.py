"""The modules that decide, and the tests that hold each of them."""

from __future__ import annotations

from mutation.running import Target

_MATCHERS = (
    "tests/unit/checks/test_matchers.py",
    "tests/unit/checks/test_matcher_edges.py",
    "tests/unit/checks/test_claims.py",
    "tests/unit/checks/test_collection_edges.py",
    "tests/unit/checks/test_judging.py",
    "tests/unit/checks/test_values.py",
    "tests/unit/checks/test_semver_and_gjson.py",
    "tests/unit/checks/test_goss_files.py",
    "tests/unit/checks/test_hostile_values.py",
)
_TESTS = {
    "metallize.model.report": (
        "tests/unit/verify/test_checklist.py",
        "tests/unit/verify/test_course.py",
        "tests/unit/report/test_report.py",
        "tests/unit/console/test_stages.py",
    ),
    "metallize.verify.checklist": ("tests/unit/verify/test_checklist.py", "tests/unit/verify/test_course.py"),
    "metallize.verify.judge": ("tests/unit/verify/test_judge.py",),
    "metallize.verify.looks.system": ("tests/unit/verify/test_system.py", "tests/unit/verify/test_system_words.py"),
    "metallize.verify.looks.look": (
        "tests/unit/verify/test_system.py",
        "tests/unit/verify/test_system_words.py",
        "tests/unit/verify/test_look_answers.py",
        "tests/unit/verify/test_look_probes.py",
    ),
    "metallize.verify.phases.refusal": ("tests/unit/verify/test_refusal.py", "tests/unit/verify/test_refusal_run.py"),
    "metallize.verify.phases.console": (
        "tests/unit/verify/test_console_end.py",
        "tests/unit/verify/test_refusal_run.py",
    ),
    "metallize.verify.looks.identity": (
        "tests/unit/verify/test_identity.py",
        "tests/unit/verify/test_identity_words.py",
    ),
    "metallize.verify.phases.times": ("tests/unit/verify/test_times.py", "tests/unit/verify/test_times_edges.py"),
    "metallize.checks.matchers": _MATCHERS,
    "metallize.checks.collection_matchers": _MATCHERS,
    "metallize.checks.claims": _MATCHERS,
    "metallize.checks.values": _MATCHERS,
    "metallize.checks.matching": ("tests/unit/checks/test_matching.py", *_MATCHERS),
    "metallize.proof": (
        "tests/unit/proof/test_proof.py",
        "tests/unit/proof/test_proof_edges.py",
        "tests/unit/proof/test_publish.py",
        "tests/unit/proof/test_building.py",
        "tests/unit/proof/test_contradictions.py",
    ),
    "metallize.console.ledger": (
        "tests/unit/console/test_ledger.py",
        "tests/unit/console/test_ledger_ends.py",
        "tests/unit/console/test_watch.py",
        "tests/unit/console/test_corpus.py",
    ),
    "metallize.console.stages": ("tests/unit/console/test_stages.py", "tests/unit/console/test_loaders.py"),
    "metallize.asked": ("tests/unit/proof/test_asked.py", "tests/unit/proof/test_asked_of_updates.py"),
    "metallize.model.canonical": ("tests/unit/model/test_canonical.py",),
    "metallize.console.rules": ("tests/unit/console/test_scanner.py", "tests/unit/console/test_rules.py"),
}
TARGETS = tuple(Target(module=module, tests=tests) for module, tests in _TESTS.items())
