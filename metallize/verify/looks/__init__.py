"""Looks at a guest through a shell: probes in one round trip, what they answered as values, and what that means."""
