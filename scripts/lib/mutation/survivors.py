"""The survivors that are explained, in tests/mutation/survivors.yaml, against those that a run has found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import yaml

from mutation.running import Outcome

LEAST_SCORE = 90.0
Key = tuple[str, str, str]
Explained = Mapping[str, Mapping[Key, str]]
"""By module and mutant, why it is equivalent or not worth a test."""


def read_explained(file: Path) -> Explained:
    """The list. Raises ValueError for an entry that does not say why."""
    explained: dict[str, dict[Key, str]] = {}
    for module, entries in (yaml.safe_load(file.read_text()) or {}).items():
        for entry in entries:
            if not str(entry.get("why", "")).strip():
                raise ValueError(f"{file}: a survivor of {module} does not say why: {entry}")
            key = (entry["function"], entry["line"], entry["mutated"])
            explained.setdefault(module, {})[key] = entry["why"]
    return explained


def complaints(outcomes: Sequence[Outcome], explained: Explained) -> tuple[str, ...]:
    """What is wrong with a run: survivors that are not listed, listed ones that are none, scores that are too low."""
    said = []
    for outcome in outcomes:
        listed = explained.get(outcome.module, {})
        found = {mutant.key for mutant in outcome.survivors}
        said += [_complain(outcome.module, "survives and is not listed", key) for key in sorted(found - set(listed))]
        said += [
            _complain(outcome.module, "is listed and does not survive", key) for key in sorted(set(listed) - found)
        ]
        if outcome.score < LEAST_SCORE:
            said.append(f"{outcome.module}: {outcome.score:.1f} % is below {LEAST_SCORE:.0f} %")
    return tuple(said)


def yaml_of(outcomes: Iterable[Outcome], explained: Explained) -> str:
    """The list as it would have to be; what is not explained yet has an empty reason."""
    tree = {
        outcome.module: [
            {
                "function": key[0],
                "line": key[1],
                "mutated": key[2],
                "why": explained.get(outcome.module, {}).get(key, ""),
            }
            for key in sorted({mutant.key for mutant in outcome.survivors})
        ]
        for outcome in outcomes
        if outcome.survivors
    }
    return yaml.safe_dump(tree, sort_keys=False, width=110, allow_unicode=True)


def _complain(module: str, what: str, key: Key) -> str:
    return f"{module}: {what}: in {key[0]}\n    {key[1]}\n    {key[2]}"
