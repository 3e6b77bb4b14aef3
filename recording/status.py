"""The state of a call's recording for the page, which is reported each time that it changes."""

from collections.abc import Callable
from dataclasses import dataclass

from recording.policy import Policy, RecordingState


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """The state of a recording, as the page shows it."""

    state: RecordingState
    since_us: int
    """The time at which this state began, in µs since the spool's start."""
    pause_holders: tuple[str, ...]
    storage_works: bool


class StatusNotifier:
    """Calls `on_change` with the new status when a policy's state changes.

    Attributes:
        last: The status that was reported last.
    """

    def __init__(self, policy: Policy, on_change: Callable[[RecordingStatus], None] | None) -> None:
        self.last = RecordingStatus(RecordingState.NOT_STARTED, 0, (), storage_works=True)
        self._policy = policy
        self._on_change = on_change

    def notify(self, now: Callable[[], int]) -> None:
        """Report the state if it has changed. `now` returns the µs since the spool's start."""
        policy = self._policy
        since = self.last.since_us if policy.state is self.last.state else now()
        status = RecordingStatus(policy.state, since, policy.pause_holders, policy.storage_works)
        if status != self.last:
            self.last = status
            if self._on_change is not None:
                self._on_change(status)
