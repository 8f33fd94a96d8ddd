"""A release as whoever fetches it sees it: over HTTP, from a server that is not believed."""
