"""Two builds of one plan, compared: the same bytes, or each file that differs."""
