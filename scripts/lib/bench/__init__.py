"""What scripts/bench measures: builds and boots, against what they stand on and against their peers."""
