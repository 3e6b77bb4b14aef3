"""The state of a recording, read again each time that a test asks for it."""

from __future__ import annotations

from typing import Protocol

from recording.policy import RecordingState


class _Recording(Protocol):
    @property
    def state(self) -> RecordingState: ...


def state_of(recording: _Recording) -> RecordingState:
    """Return the state: mypy takes an attribute that was compared for one that cannot change."""
    return recording.state
