"""The systems for continuous integration that show annotations."""

from enum import StrEnum


class System(StrEnum):
    """Whose annotations."""

    GITHUB = "github"
    GITLAB = "gitlab"
