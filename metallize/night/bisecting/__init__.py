"""Which layer is at fault: images between the last good one and the one that got worse, of layers that are cached."""
