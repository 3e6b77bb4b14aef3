"""The snapshot of a recording that the page receives, and the notifier that sends each change."""

from collections.abc import Callable
from dataclasses import dataclass

from recording.policy import Policy, RecordingState


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a recording as the page receives it."""

    state: RecordingState
    since_us: int
    """When this state began, in microseconds since the recording's start."""
    holders: tuple[str, ...]
    storage_good: bool


class Teller:
    """Calls `on_change` with each new snapshot of a policy.

    Attributes:
        last: The snapshot that was sent last.
    """

    def __init__(self, policy: Policy, on_change: Callable[[Snapshot], None] | None) -> None:
        self.last = Snapshot(RecordingState.NOT_STARTED, 0, (), storage_good=True)
        self._policy = policy
        self._on_change = on_change

    def tell(self, now: Callable[[], int]) -> None:
        """Send a snapshot if something has changed; `now` returns microseconds since the start."""
        policy = self._policy
        since = self.last.since_us if policy.state is self.last.state else now()
        snapshot = Snapshot(policy.state, since, policy.holders, policy.storage_good)
        if snapshot != self.last:
            self.last = snapshot
            if self._on_change is not None:
                self._on_change(snapshot)
