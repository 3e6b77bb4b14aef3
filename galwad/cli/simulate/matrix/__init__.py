"""The rows of `galwad simulate payments` and `galwad simulate transfers`, and how they are run.

A row is one kind of pause or transfer. One real call tries it, and its recording is judged.
"""
