"""From a profile to an image: the plan of its layers, the engine that builds them, and the folder it ends in."""
