"""Mutation testing of what decides: each small change of a module that may make a verdict wrong has to fail a test."""
