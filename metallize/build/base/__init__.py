"""Where base images come from: what is local, a registry, or the distribution's own packages."""
