"""A system that gets contact notes, and whose behaviour the test decides."""

from __future__ import annotations

import asyncio


class Destination:
    """Keeps each version that it gets. It raises the errors in `errors`, one for each attempt.

    An error whose position is in `after_writing` is raised after the version was written.
    """

    def __init__(self, errors=(), after_writing=()):
        self.name = "crm"
        self.errors = list(errors)
        self.after_writing = frozenset(after_writing)
        self.attempts = []
        self.records = {}
        self.closed = False
        self.written = asyncio.Event()

    async def deliver(self, note, earlier):
        self.attempts.append((note, earlier))
        position = len(self.attempts) - 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None and position not in self.after_writing:
            raise error
        self.records.setdefault(note.note_id, []).append(note.version)
        self.written.set()
        if error is not None:
            raise error
        return f"T-{len(self.records)}"

    async def close(self):
        self.closed = True
