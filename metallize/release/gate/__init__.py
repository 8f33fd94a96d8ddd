"""What lets a verified image out, or not: the rules of its profile, before the release that was there."""
