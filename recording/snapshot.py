"""What the page is told of a recording, and when: whenever it is something new."""

from collections.abc import Callable
from dataclasses import dataclass

from recording.policy import Policy, RecordingState


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the page is told."""

    state: RecordingState
    since_us: int
    """When this state began."""
    holders: tuple[str, ...]
    storage_good: bool


class Teller:
    """Tells `on_change` how a policy stands.

    Attributes:
        last: what was told last.
    """

    def __init__(self, policy: Policy, on_change: Callable[[Snapshot], None] | None) -> None:
        self.last = Snapshot(RecordingState.NOT_STARTED, 0, (), storage_good=True)
        self._policy = policy
        self._on_change = on_change

    def tell(self, now: Callable[[], int]) -> None:
        """Tell what has changed, if anything; `now`: microseconds since the start."""
        policy = self._policy
        since = self.last.since_us if policy.state is self.last.state else now()
        snapshot = Snapshot(policy.state, since, policy.holders, policy.storage_good)
        if snapshot != self.last:
            self.last = snapshot
            if self._on_change is not None:
                self._on_change(snapshot)
