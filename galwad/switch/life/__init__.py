"""The switch process: its start and end, its links, and the calls of the process before it."""
