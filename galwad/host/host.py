"""The class `Host`: what all subjects of the desk share, and where they register what they do.

The host knows no subject. A subject calls the subjects below it, and publishes events for the
subjects above it. Data that must survive a restart of the desk is written to the database before
the desk acknowledges the message with this data.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import structlog
from fastapi import Request

from galwad import periods
from galwad.host.background import BackgroundTasks
from galwad.host.call_follower import CallFollower
from galwad.host.connections.acceptor import connection_limit
from galwad.host.connections.places import PlaceLimits, Places
from galwad.host.database import open_engine, upgrade
from galwad.host.errors import ApiError
from galwad.host.metrics import Metrics
from galwad.host.streams import Streams
from galwad.host.switch_client import FromSwitch, SwitchClient
from galwad.messages import Alarm, Figures
from galwad.settings import Settings
from recording.audit.log import AuditLog

PROXIES: Final = ("127.0.0.1", "::1")
"""The addresses of a reverse proxy, if `[desk] public_origin` is set."""
_FINISH_S: Final = 2.0
"""The longest time in seconds that pieces of work in the background get when the desk stops."""
log = structlog.get_logger()
E = TypeVar("E")
Loop: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Step: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class SwitchLinkChanged:
    """The link to the switch was opened, or lost."""

    connected: bool


class Host:
    """The database, the audit, the link to the switch, and the tasks of one desk.

    Subjects register steps of the start and the stop. The steps of each kind run in the sequence of
    their registration; those of `after_stop` run in the opposite sequence.
    """

    peers_down = 0
    """The number of monitored peers that do not respond, or that refuse our registration.

    The switch monitors trunks and other peers by their responses to our OPTIONS or REGISTER
    requests.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        upgrade(settings.database)
        self.engine = open_engine(settings.database)
        self.places = Places(
            PlaceLimits.within(connection_limit(settings.desk.max_connections)),
            PROXIES if settings.desk.public_origin is not None else (),
        )
        self.metrics = Metrics(self.places)
        self.streams = Streams()
        self.background = BackgroundTasks()
        self.audit = AuditLog(
            self.engine, settings.node.name, settings.audit_key, on_cut=self._audit_cut
        )
        self.follower = CallFollower(self.audit)
        """Writes what all subjects learn about calls."""
        self.switch = SwitchClient(
            settings.switch_socket, self._from_switch, self._switch_connection
        )
        self._handlers: dict[type, list[Callable[[Any], None]]] = defaultdict(list)
        self._durable: dict[type, list[Callable[[Any], Awaitable[None]]]] = defaultdict(list)
        self._loops: list[Loop] = [self.switch.run, self.follower.run]
        self._before_start: list[Step] = []
        self._on_start: list[Step] = []
        self._after_start: list[Step] = []
        self._before_stop: list[Step] = []
        self._on_stop: list[Step] = []
        self._after_stop: list[Step] = []

    # Registration

    def hear(self, kind: type[E], handler: Callable[[E], None]) -> None:
        """Call `handler` with each message of the switch, and each published event, of this type.

        `publish` calls the handlers of a type in the sequence of their registration. If a handler
        raises an error, `publish` raises it too, and the handlers after it are not called.
        """
        self._handlers[kind].append(handler)

    def hear_and_wait(self, kind: type[E], handler: Callable[[E], Awaitable[None]]) -> None:
        """Let `publish_and_wait` await `handler` for each event of this type."""
        self._durable[kind].append(handler)

    def loop(self, loop: Loop) -> None:
        """Run this coroutine function from the start of the desk until it stops."""
        self._loops.append(loop)

    def before_start(self, step: Step) -> None:
        """Await `step` first when the desk starts: it restores the calls that still need a note."""
        self._before_start.append(step)

    def on_start(self, step: Step) -> None:
        """Await `step` when the desk starts: it restores other state from before a restart."""
        self._on_start.append(step)

    def after_start(self, step: Step) -> None:
        """Await `step` when all state is restored: it lets messages of other processes arrive."""
        self._after_start.append(step)

    def before_stop(self, step: Step) -> None:
        """Await `step` first when the desk stops, while all loops still run."""
        self._before_stop.append(step)

    def on_stop(self, step: Step) -> None:
        """Await `step` when the loops have ended: it writes what is not written yet."""
        self._on_stop.append(step)

    def after_stop(self, step: Step) -> None:
        """Await `step` when everything is written and no task runs: it closes what is open."""
        self._after_stop.append(step)

    # Events

    def publish(self, event: object) -> None:
        """Call all handlers of this event's type (`hear`)."""
        for handler in self._handlers[type(event)]:
            handler(event)

    async def publish_and_wait(self, event: object) -> None:
        """Await the handlers of this event's type (`hear_and_wait`) in turn, until one raises."""
        for handler in self._durable[type(event)]:
            await handler(event)

    def alarm(self, alarm: Alarm) -> None:
        """Raise an alarm: log and count it, and publish it."""
        log.warning("alarm", kind=alarm.kind, call_id=alarm.call_id, detail=alarm.detail)
        self.metrics.alarms.labels(alarm.kind).inc()
        self.publish(alarm)

    def _from_switch(self, message: FromSwitch) -> None:
        match message:
            case Alarm():
                self.alarm(message)
            case Figures():
                self.metrics.show_figures(message)
                self.peers_down = sum(not peer.up for peer in message.peers)
                self.publish(message)
            case _:
                self.publish(message)

    def _switch_connection(self, connected: bool) -> None:  # noqa: FBT001 - the callback has one parameter
        self.metrics.switch_connected.set(connected)
        self.publish(SwitchLinkChanged(connected))

    def _audit_cut(self, seq: int) -> None:
        self.alarm(Alarm("audit.cut", None, f"the audit entries before number {seq} are missing"))

    # Start and stop

    async def start(self) -> None:
        """Restore the state from before a restart, let messages arrive, and start the loops."""
        for step in (*self._before_start, *self._on_start, *self._after_start):
            await step()
        self.background.start(*(loop() for loop in self._loops))

    async def stop(self) -> None:
        """End the event streams and all tasks, write what is not written, and close everything."""
        self.streams.close()
        for step in self._before_stop:
            await step()
        await self.background.cancel_loops()
        for step in self._on_stop:
            await step()
        await self.follower.stop()
        # A lookup or the writing of a note that is in progress takes only a short time.
        await self.background.finish(_FINISH_S)
        for step in reversed(self._after_stop):
            await step()
        await self.engine.dispose()


class HasHost(Protocol):
    """A desk, of which only the host is needed."""

    host: Host


async def desk_of(request: Request) -> Any:
    """Return the desk of the web application that received the request.

    Each subject has an annotation with this dependency, which names the parts that it needs.
    """
    return request.app.state.desk


def span_of(words: str | None, desk: HasHost, field: str = "when") -> periods.Period | None:
    """Return the period that words such as "last week" mean; None if `words` is None or empty.

    The words are read in the time zone of the desk's settings. Raises `ApiError` (422) if they
    cannot be read; `field` is the name of the request's field with the words.
    """
    if not words:
        return None
    try:
        return periods.period(words, time.time(), desk.host.settings.desk.time_zone)
    except ValueError:
        raise ApiError(422, f"cannot read the time in `{field}`", periods.HINT) from None
