"""Profiles and suites from YAML to values, with every problem at once; see `load_profile` and `load_suite`."""

from metallize.config.assertions import load_suite
from metallize.config.expectations import load_steps, load_update
from metallize.config.profile import load_profile, load_profiles
from metallize.config.project import FILE as PROJECT_FILE
from metallize.config.schema import profile_schema, project_schema, suite_schema
from metallize.config.vocabulary import Escape, Layers, Suites, Vocabulary

__all__ = [
    "PROJECT_FILE",
    "Escape",
    "Layers",
    "Suites",
    "Vocabulary",
    "load_profile",
    "load_profiles",
    "load_steps",
    "load_suite",
    "load_update",
    "profile_schema",
    "project_schema",
    "suite_schema",
]
