"""Releases that a machine must not take, whoever offers them."""
