"""`CallsSubject`: live calls, their ledger and log, alarms, payment pauses, and presence.

The events that it publishes for other subjects are here too. Endpoints find a call for a user with
`live_call` and `own_call`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Final, Protocol

import structlog
from fastapi import Depends
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from galwad.calls.alarms.alarm_list import AlarmList, CallStage
from galwad.calls.alarms.kinds import ENDS, Audience, kind_of, may_see
from galwad.calls.alarms.store import StoredAlarm
from galwad.calls.bodies import PresenceState
from galwad.calls.ledger_writer import LedgerWriter
from galwad.calls.live_calls import ACTS, DIALS, SEARCHES, DeskCall, LiveCalls
from galwad.calls.log.call_log import CallLog
from galwad.calls.pause_warnings import ForgottenPauses, Heartbeats
from galwad.calls.payment_tokens import PaymentTokens
from galwad.calls.presence.board import (
    PresenceBoard,
    PresenceListeners,
    may_be_at_pbx,
)
from galwad.calls.presence.store import Breaks
from galwad.directories.subject import DirectoriesDesk, DirectoriesSubject, record_pages
from galwad.host.errors import ApiError
from galwad.host.host import Host, SwitchLinkChanged, desk_of
from galwad.host.limits import Window
from galwad.messages import (
    Alarm,
    CallChanged,
    CallEnded,
    CallsSnapshot,
    Figures,
    Party,
    PhonesRegistered,
)
from galwad.people.sessions import Session
from galwad.people.subject import PeopleChanged, PeopleSubject
from galwad.people.user import User
from galwad.texts.subject import TextsDesk

_DAY_S: Final = 86_400.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallChange:
    """A live call has changed; `before` is None for a new call, and `after` for a removed one."""

    before: DeskCall | None
    after: DeskCall | None


@dataclass(frozen=True, slots=True)
class CallerLookedUp:
    """The lookup of this call's caller has a new result, which is in the call's screen-pop."""

    call: DeskCall


@dataclass(frozen=True, slots=True)
class AlarmNews:
    """A raised alarm, or an event that ends alarms. An event has no `stored`."""

    kind: str
    call: DeskCall | None
    """The live call that the alarm is about; None if there is none."""
    call_id: str | None
    audience: Audience
    stored: StoredAlarm | None = None


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """An alarm was handled, or has ended. `call` is its live call; None if there is none."""

    stored: StoredAlarm
    call: DeskCall | None


@dataclass(frozen=True, slots=True)
class DayOfUsersChanged:
    """The calls, missed calls or transfers of these users have changed."""

    users: Collection[str]


class CallMetrics:
    """The metrics of live calls, lookups, pauses, alarms and presence."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.live_calls = Gauge(
            "galwad_desk_live_calls", "Calls on the advisors' pages", registry=registry
        )
        self._users = Gauge(
            "galwad_desk_users",
            "Users who can take calls, by their presence",
            ["state"],
            registry=registry,
        )
        self.lookups = Histogram(
            "galwad_desk_lookup_seconds",
            "From the start of a lookup to its first result in the screen-pop",
            ["status"],
            buckets=(0.01, 0.03, 0.1, 0.3, 0.5, 1.0, 1.5),
            registry=registry,
        )
        self.pauses = Counter(
            "galwad_desk_pauses",
            "Payment pauses and resumes",
            ["action", "outcome"],
            registry=registry,
        )
        self.forgotten_pauses = Gauge(
            "galwad_desk_forgotten_pauses",
            "Recordings that have now been paused for longer than pause_alarm",
            registry=registry,
        )
        self.lost_payment_pages = Gauge(
            "galwad_desk_lost_payment_pages",
            "Pause holders that have stopped renewing their pause",
            registry=registry,
        )
        self._open_alarms = Gauge(
            "galwad_desk_open_alarms",
            "Alarms that are not closed; with the state open, nobody has taken them",
            ["kind", "severity", "state"],
            registry=registry,
        )

    def users_counted(self, counts: Mapping[PresenceState, int]) -> None:
        """Set the number of users in each state of presence."""
        for state in PresenceState:
            self._users.labels(state.value).set(counts.get(state, 0))

    def open_alarms(self, alarms: Iterable[StoredAlarm]) -> None:
        """Set the numbers of alarms that are not closed, by kind, severity and state."""
        self._open_alarms.clear()
        for alarm in alarms:
            self._open_alarms.labels(alarm.kind, alarm.traits.severity.value, alarm.state).inc()


class CallsSubject:
    """The calls of one desk.

    Live calls and screen-pops are only in memory. After a restart, the calls in progress are
    rebuilt from the switch's snapshot, and ended calls without a saved contact note from the
    database (`galwad.notes`). Their callers are looked up again.
    """

    _switch_lost = False
    """True from the loss of the link to the switch until the desk is connected again."""

    def __init__(self, host: Host, people: PeopleSubject, directories: DirectoriesSubject) -> None:
        settings, engine = host.settings, host.engine
        self._host = host
        self._lookup = directories.lookup
        self.metrics = CallMetrics(host.metrics.registry)
        self.live = LiveCalls(
            self._changed,
            record_pages(settings.directories),
            wrapup_limit=settings.contact_notes.wrap_up,
        )
        self.presence = PresenceBoard(
            people.users,
            Breaks(engine),
            self.live.all,
            PresenceListeners(
                changed=host.publish,
                away=lambda _away: host.switch.set_away(),
                counted=self.metrics.users_counted,
            ),
            at_pbx=lambda user: may_be_at_pbx(user, settings.routes),
        )
        self.alarms = AlarmList(
            engine,
            host.audit.append,
            self._alarm_changed,
            kept_s=settings.desk.alarm_days * _DAY_S,
            audit_after=host.audit.append_after,
        )
        self.ledger = LedgerWriter(host.follower, host.switch.acknowledge_ends)
        self.log = CallLog(
            engine,
            host.follower,
            settings.call_log,
            lambda users: host.publish(DayOfUsersChanged(users)),
        )
        self.payment_tokens = PaymentTokens(engine)
        self.heartbeats = Heartbeats(
            self.live, self._warn, on_count=self.metrics.lost_payment_pages.set
        )
        self._forgotten = ForgottenPauses(
            self.live,
            self._warn,
            advisor_s=settings.desk.pause_reminder,
            supervisor_s=settings.desk.pause_alarm,
            on_count=self.metrics.forgotten_pauses.set,
        )
        self.searches, self.dials, self.acts = map(Window[str], (SEARCHES, DIALS, ACTS))
        host.switch.away = lambda: self.presence.away
        self._register(host)

    def _register(self, host: Host) -> None:
        host.hear(CallsSnapshot, self._snapshot_arrived)
        host.hear(CallChanged, self._change_arrived)
        host.hear(CallEnded, self._end_arrived)
        host.hear(Figures, self._figures_arrived)
        host.hear(PhonesRegistered, self.presence.registered)
        host.hear(SwitchLinkChanged, self._link_changed)
        host.hear(Alarm, self._alarm_raised)
        host.hear_and_wait(PeopleChanged, lambda _: self.presence.read_users())
        host.on_start(self._start_alarms)
        host.on_start(self.presence.start)
        for loop in (self.presence, self._forgotten, self.heartbeats, self.alarms):
            host.loop(loop.run)
        host.loop(self.log.run)
        host.on_stop(self._stop_log)
        host.after_stop(self.alarms.stop)

    async def _start_alarms(self) -> None:
        await self.alarms.start()
        self.metrics.open_alarms(self.alarms.open())

    async def _stop_log(self) -> None:
        self.log.stop()

    # Messages of the switch. A snapshot or the end of a call goes first to the ledger, which proves
    # that there was a call, then to the live calls, and last to the log of calls.

    def _snapshot_arrived(self, message: CallsSnapshot) -> None:
        self.ledger.snapshot({call.call_id for call in message.calls})
        for call in self.live.snapshot(message.calls, time.time()):
            self.look_up(call)
        self.alarms.calls_known(lambda call_id: _stage_of(self.live.get(call_id)))
        self.log.received(message)

    def _change_arrived(self, message: CallChanged) -> None:
        new = self.live.changed(message.call)
        if new is not None:
            self.look_up(new)
        self.log.received(message)

    def _end_arrived(self, message: CallEnded) -> None:
        self.ledger.ended(message)
        self.live.ended(message.call_id, message.ended, answered=message.answered)
        self.log.received(message)

    def _figures_arrived(self, message: Figures) -> None:
        self.alarms.peers_known(message.peers)
        self.alarms.naming_known(message.naming)
        if message.emergency_route:
            self.alarms.emergency_route_known()

    def _link_changed(self, link: SwitchLinkChanged) -> None:
        self.presence.set_connected(link.connected)
        kind = "switch.connected" if link.connected else "switch.lost"
        log.info(kind)
        # The first connection to the switch after the desk's start is normal. It ends an alarm from
        # before the start and is shown on the pages, but the metrics do not count it as an alarm.
        if link.connected and not self._switch_lost:
            self.alarms.event(kind, "")
            self._host.publish(AlarmNews(kind, None, None, "everybody"))
        else:
            self._host.alarm(Alarm(kind, None))
        self._switch_lost = not link.connected

    # Live calls

    def _changed(self, before: DeskCall | None, after: DeskCall | None) -> None:
        """Publish a change of a live call, then end alarms: pages show the change first."""
        self.metrics.live_calls.set(len(self.live))
        self._host.publish(CallChange(before, after))
        if before is not None:
            self.alarms.call_changed(before.call_id, _stage_of(before), _stage_of(after))
        if after is not None:
            self.ledger.call(after.state)
            self.log.call_changed(before, after)

    def in_progress(self) -> set[str] | None:
        """Return the ids of live calls not in wrap-up; None while the switch is not connected."""
        if not self._host.switch.connected:
            return None
        return {call.call_id for call in self.live.all() if not call.wrapup}

    def claim(self, call: DeskCall, user: User) -> DeskCall:
        """Make `user` the advisor of a call that a PBX answered for a group.

        Return the changed call. If the advisor is already known, or `user` is not in the group,
        return the call unchanged.
        """
        if not call.may_be_claimed_by(user):
            return call
        advisor = Party(user.extension or "", user.name)
        self._host.switch.claim(call.call_id, advisor)
        return self.live.claim(call, advisor)

    def look_up(self, call: DeskCall, person_id: str = "") -> None:
        """Begin to look up the caller of a call; each result is shown on the pages.

        `person_id` is the person confirmed before a restart, or "". When a directory finds this
        person, the person is chosen, unless the advisor has already chosen a person. The details
        are shown only after a new confirmation.
        """
        self._host.background.spawn(self._look_up(call, person_id))

    async def _look_up(self, call: DeskCall, person_id: str) -> None:
        started = time.monotonic()
        event = "lookup.done"
        async with aclosing(self._lookup.look_up(call.pop.caller)) as results:
            async for result in results:
                current = self.live.lookup_result(call, result)
                if current is None:
                    return
                pop = current.pop
                if person_id and not pop.chosen_by_advisor and pop.has_candidate(person_id):
                    self.live.choose(current, person_id)
                self._host.publish(CallerLookedUp(current))
                taken, status = time.monotonic() - started, result.status.value
                if event == "lookup.done":
                    self.metrics.lookups.labels(status).observe(taken)
                log.info(
                    event,
                    call_id=call.call_id,
                    status=status,
                    failed=list(result.failed),
                    ms=round(taken * 1000),
                )
                event = "lookup.more"

    # Alarms

    def _warn(self, kind: str, call: DeskCall) -> None:
        self._host.alarm(Alarm(kind, call.call_id))

    def _alarm_raised(self, alarm: Alarm) -> None:
        """Put an alarm into the list and on the pages. An event such as `peer.up` ends an alarm."""
        call = self.live.get(alarm.call_id) if alarm.call_id else None
        if alarm.kind in ENDS:
            self.alarms.event(alarm.kind, alarm.detail)
            audience = kind_of(ENDS[alarm.kind]).audience
            self._host.publish(AlarmNews(alarm.kind, call, alarm.call_id, audience))
            return
        stored = self.alarms.raised(alarm, call.state.line if call is not None else "")
        audience = stored.traits.audience
        self._host.publish(AlarmNews(alarm.kind, call, alarm.call_id, audience, stored))
        self.metrics.open_alarms(self.alarms.open())

    def _alarm_changed(self, stored: StoredAlarm) -> None:
        self._host.publish(AlarmChange(stored, self.live.get(stored.call_id or "")))
        self.metrics.open_alarms(self.alarms.open())

    def alarms_of(self, user: User) -> list[StoredAlarm]:
        """Return the alarms in `AlarmList.all` that this user may see, also closed ones."""
        return [alarm for alarm in self.alarms.all() if self.may_see_alarm(user, alarm)]

    def may_see_alarm(self, user: User, alarm: StoredAlarm) -> bool:
        """Return whether this user may see an alarm."""
        call = self.live.get(alarm.call_id or "")
        concerned = call is not None and call.takes_part(user)
        return may_see(alarm.traits.audience, supervises=user.supervises, concerned=concerned)


def _stage_of(call: DeskCall | None) -> CallStage:
    return CallStage(call.state.recording, call.wrapup) if call is not None else CallStage()


class CallsDesk(TextsDesk, DirectoriesDesk, Protocol):
    """The parts of the desk that endpoints about calls use."""

    calls: CallsSubject


TheDesk = Annotated[CallsDesk, Depends(desk_of)]


def live_call(desk: CallsDesk, session: Session, call_id: str) -> DeskCall:
    """Return the live call with this id, if the session's user may see it.

    Raises:
        ApiError: 404, there is no such call, or the user may not see it.
    """
    call = desk.calls.live.get(call_id)
    if call is None or not call.visible(session.user):
        raise no_live_call()
    return call


def no_live_call() -> ApiError:
    """Return the error for a call that has ended, or that the user may not see."""
    return ApiError(404, "no live call has this id", "check the id: the call may have ended")


def own_call(desk: CallsDesk, session: Session, call_id: str) -> DeskCall:
    """Return the live call with this id, if the session's user is responsible for it.

    Raises:
        ApiError: 404, there is no such call, or the user may not see it. 403, the user is not
            responsible for the call, and it does not ring at the user's phone. 409, it rings at
            the user's phone, but the user has not answered it.
    """
    call = live_call(desk, session, call_id)
    if not call.concerns(session.user):
        raise ApiError(403, "another advisor has this call", "ask them to do it")
    if not call.is_handled_by(session.user):
        raise ApiError(409, "the call is not answered yet", "answer it first")
    return call
