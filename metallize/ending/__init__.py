"""How a command ends that did not come to its end: the signals, the words and the exit status."""
