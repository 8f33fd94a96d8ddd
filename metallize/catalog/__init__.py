"""What there is to build with and to verify by: layers, generators, machines, kinds, suites, profiles."""

from metallize.catalog.as_json import explain_as_json, list_as_json
from metallize.catalog.describe import render_explain, render_list
from metallize.catalog.entries import Catalog, data_folder, host_platform

__all__ = [
    "Catalog",
    "data_folder",
    "explain_as_json",
    "host_platform",
    "list_as_json",
    "render_explain",
    "render_list",
]
