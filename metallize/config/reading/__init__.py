"""A YAML file as a tree of values that know their place, and what is wrong with it."""
