"""What this machine can give a guest: an accelerator that runs it, and a place among the guests of other processes."""
