"""The desk's HTTP connections: which are accepted, how long each may wait, and which are closed."""
