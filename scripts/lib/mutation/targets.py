"""The modules that decide, and the tests that hold each of them."""

from __future__ import annotations

from mutation.running import Target

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
    "metallize.proof": ("tests/unit/proof", "tests/unit/pytest_plugin/test_recording.py"),
    "metallize.verify.looks.identity": (
        "tests/unit/verify/test_identity.py",
        "tests/unit/verify/test_identity_words.py",
    ),
    "metallize.verify.phases.times": ("tests/unit/verify/test_times.py", "tests/unit/verify/test_times_edges.py"),
    "metallize.checks.matchers": ("tests/unit/checks",),
    "metallize.checks.collection_matchers": ("tests/unit/checks",),
    "metallize.checks.matching": ("tests/unit/checks",),
    "metallize.checks.claims": ("tests/unit/checks",),
    "metallize.checks.values": ("tests/unit/checks",),
    "metallize.console.ledger": ("tests/unit/console/test_watch.py", "tests/unit/console/test_corpus.py"),
    "metallize.console.rules": ("tests/unit/console/test_rules.py", "tests/unit/console/test_corpus.py"),
    "metallize.console.stages": ("tests/unit/console/test_stages.py", "tests/unit/console/test_loaders.py"),
    "metallize.asked": ("tests/unit/proof",),
    "metallize.model.canonical": ("tests/unit/model/test_canonical.py",),
}
TARGETS = tuple(Target(module=module, tests=tests) for module, tests in _TESTS.items())
