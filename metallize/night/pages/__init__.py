"""The history as pages: one file each, no script, nothing fetched."""
