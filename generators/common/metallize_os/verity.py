"""A dm-verity tree over a filesystem: every block that is read is held to one root hash."""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path

from metallize_os import job

BLOCK = 4096
_ROOT_HASH = re.compile(rb"^Root hash:\s+([0-9a-f]{64})$", re.MULTILINE)


def make_tree(data: Path, tree: Path, *, salt: str, identity: str) -> str:
    """Write the tree of `data`, a whole number of blocks, to `tree`, and return the root hash.

    `salt` is any text that stays the same, `identity` the tree's UUID: the same data gives the same tree.
    """
    told = job.tool(
        "veritysetup", "format",
        "--hash", "sha256", "--data-block-size", str(BLOCK), "--hash-block-size", str(BLOCK),
        "--salt", hashlib.sha256(salt.encode()).hexdigest(), "--uuid", identity,
        data, tree,
    )  # fmt: skip
    found = _ROOT_HASH.search(told)
    if found is None:
        job.fail(f"veritysetup names no root hash: {told.decode('utf-8', 'replace')[-500:]}")
    return found[1].decode()


def partition_ids(root_hash: str) -> tuple[str, str]:
    """The UUIDs of the data's and of the tree's partition: the hash's halves (systemd-veritysetup-generator(8))."""
    return str(uuid.UUID(root_hash[:32])), str(uuid.UUID(root_hash[32:]))
