"""The work of `galwad simulate`: calling a daemon with its own phones, and judging the result."""
