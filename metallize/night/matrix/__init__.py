"""What a night tries, as a value: the builds, the cells that wait for them, and what is wrong with the rest."""
