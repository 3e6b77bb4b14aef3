"""The status of a call's recording, as the page shows it, and the notification of each change."""

from collections.abc import Callable
from dataclasses import dataclass

from recording.policy import Policy, RecordingState


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """The status of a call's recording, as the page shows it."""

    state: RecordingState
    since_us: int
    """When `state` began, in microseconds since the spool's start."""
    pause_holders: tuple[str, ...]
    storage_works: bool


class StatusNotifier:
    """Calls `on_change` each time a recording's status changes; `last` is the present one."""

    def __init__(self, policy: Policy, on_change: Callable[[RecordingStatus], None] | None) -> None:
        self.last = RecordingStatus(RecordingState.NOT_STARTED, 0, (), storage_works=True)
        self._policy = policy
        self._on_change = on_change

    def notify(self, now: Callable[[], int]) -> None:
        """Call `on_change` if the status has changed; `now` gives µs since the spool's start."""
        policy = self._policy
        since = self.last.since_us if policy.state is self.last.state else now()
        status = RecordingStatus(policy.state, since, policy.pause_holders, policy.storage_works)
        if status != self.last:
            self.last = status
            if self._on_change is not None:
                self._on_change(status)

    def close(self) -> None:
        """Call `on_change` no more."""
        self._on_change = None
