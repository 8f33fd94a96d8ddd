"""What the rules of a release are called: where they stand below `release` in a profile."""

from __future__ import annotations

SIZE, REMOVED, NEW, LICENCES = "size", "packages.removed", "packages.new", "licences.deny"
PORTS = "ports.new"
NAMES = (SIZE, REMOVED, NEW, LICENCES, PORTS)
