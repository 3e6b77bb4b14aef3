"""The rows of `galwad simulate payments` and `galwad simulate transfers`, and how they are run.

A row is one kind of pause or transfer. It is tried with one real call, whose recording is then
fetched and judged.
"""
