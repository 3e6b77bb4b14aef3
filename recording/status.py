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
    holders: tuple[str, ...]
    storage_good: bool


class StatusNotifier:
    """Calls `on_change` with a new snapshot when a policy's state changes.

    Attributes:
        last: The snapshot that was reported last.
    """

    def __init__(self, policy: Policy, on_change: Callable[[RecordingStatus], None] | None) -> None:
        self.last = RecordingStatus(RecordingState.NOT_STARTED, 0, (), storage_good=True)
        self._policy = policy
        self._on_change = on_change

    def tell(self, now: Callable[[], int]) -> None:
        """Report the state if it has changed. `now` returns the µs since the spool's start."""
        policy = self._policy
        since = self.last.since_us if policy.state is self.last.state else now()
        snapshot = RecordingStatus(policy.state, since, policy.holders, policy.storage_good)
        if snapshot != self.last:
            self.last = snapshot
            if self._on_change is not None:
                self._on_change(snapshot)
