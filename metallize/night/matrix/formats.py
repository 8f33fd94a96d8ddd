"""How the matrix is printed, as a closed set: the command line needs it before anything else of the night."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How the matrix is printed."""

    TABLE = "table"
    JSON = "json"
    GITHUB = "github"
    GITLAB = "gitlab"
