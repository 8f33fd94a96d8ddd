"""What a night tells: a line a cell, JUnit for CI, a digest for people, and a note where no night came."""
