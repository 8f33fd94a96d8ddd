"""A night's boots on many hosts: who can take what, how images get there, and how what was seen comes back."""
