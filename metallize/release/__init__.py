"""Releases: folders that the clients of today read, made of verified images and of nothing else."""

from metallize.release.curating import catalogues
from metallize.release.destinations import destination_at
from metallize.release.gpg import gpg_signer
from metallize.release.keys import load_signer
from metallize.release.publishing import Terms, publish
from metallize.release.retention import Retention
from metallize.release.statement import statements
from metallize.release.wares import Ware, ware_name

__all__ = [
    "Retention",
    "Terms",
    "Ware",
    "catalogues",
    "destination_at",
    "gpg_signer",
    "load_signer",
    "publish",
    "statements",
    "ware_name",
]
