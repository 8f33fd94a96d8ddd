"""The night: every cell of the matrix tried, a history of each attempt, and what got worse, judged."""
