"""The alarms, from their first report to their end: in memory at once, in the database afterwards.

So a disk that is full or hangs neither delays nor loses an alarm while the desk runs. What a person
decides is audited and stored before it takes effect. While an alarm is open, it counts further
reports of its kind, call and subject. If `MOST_OF_KIND` alarms of a kind are open, further ones of
this kind become one alarm without a call.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeAlias

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.calls.alarms.kinds import ENDS, KINDS, Ending, kind_of
from galwad.calls.alarms.store import CLOSED, ENDED, RAISED, AlarmStore, StoredAlarm
from galwad.messages import Alarm, PeerStatus
from recording.audit.index_comparison import IndexFinding
from recording.audit.log import NewEntry, Work
from recording.errors import AuditError

MOST_OF_KIND: Final = 20
"""The most open alarms of one kind that are listed one by one."""
MOST_CLOSED: Final = 500
"""The largest number of closed alarms in memory. The database may have more."""
_MANY: Final = "*"
"""The subject of the one alarm for all reports beyond `MOST_OF_KIND`."""
_SAME_S: Final = 600.0
"""If an alarm ended by itself and is reported again within this many seconds, it opens again."""
_DAY_S: Final = 86_400.0
_REST_S: Final = 1.0
"""The seconds to rest after a write, so that changes are collected for the next write."""
_RETRY_S: Final = 5.0
_CLEANING_S: Final = 3600.0
_STOP_S: Final = 2.0
Change: TypeAlias = Callable[[StoredAlarm], StoredAlarm]
AuditAfter: TypeAlias = Callable[[Work], Awaitable[object]]
_Key: TypeAlias = tuple[str, str | None, str]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class CallStage:
    """The facts about a call that can end an alarm. `ended` is also true of an unknown call."""

    recording: str = ""
    ended: bool = True


class AlarmError(Exception):
    """An alarm cannot be handled in this way. `hint` says what the user can do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Audit(Protocol):
    """A function that writes an entry of the audit."""

    def __call__(
        self, kind: str, facts: Mapping[str, str], personal: Mapping[str, str], /
    ) -> Awaitable[object]:
        """Write an entry; return when it is on the disk."""


class AlarmList:
    """The alarms of one desk. The database keeps closed ones for `kept_s` seconds.

    `on_change` gets each alarm that a person has handled or that has ended. `audit_after` writes
    alarms and their audit entries in one transaction. If it is None, alarms that begin or end by
    themselves have no entries.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        audit: Audit,
        on_change: Callable[[StoredAlarm], None],
        *,
        kept_s: float,
        audit_after: AuditAfter | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = AlarmStore(engine)
        self._audit = audit
        self._audit_after = audit_after
        self._in_audit: dict[str, bool] = {}
        """The ids of alarms in the audit. True if the newest entry leaves the alarm open."""
        self._on_change = on_change
        self._kept_s = kept_s
        self._clock = clock
        self._alarms: dict[str, StoredAlarm] = {}
        self._newest: dict[_Key, str] = {}
        self._unsaved: set[str] = set()
        self._wake = asyncio.Event()
        self._deciding = asyncio.Lock()
        self._writing = asyncio.Lock()

    async def start(self) -> None:
        """Load the alarms that are open or were closed within a day. If this fails, begin empty."""
        try:
            stored = await self._store.load(self._clock() - _DAY_S, MOST_CLOSED)
        except SQLAlchemyError as error:
            log.error("alarms.not_read", why=type(error).__name__)  # noqa: TRY400
            return
        for alarm in stored:
            self._alarms.setdefault(alarm.alarm_id, alarm)
            self._newest[_key(alarm)] = alarm.alarm_id
            self._in_audit[alarm.alarm_id] = not alarm.closed

    def all(self) -> list[StoredAlarm]:
        """Return all alarms in memory, those with the newest report first."""
        return sorted(self._alarms.values(), key=lambda alarm: alarm.latest, reverse=True)

    def open(self) -> list[StoredAlarm]:
        """Return the alarms that are open or taken, those with the newest report first."""
        return [alarm for alarm in self.all() if not alarm.closed]

    def find(self, alarm_id: str) -> StoredAlarm | None:
        """Return the alarm with this id; None if it is not in memory."""
        return self._alarms.get(alarm_id)

    # Reports

    def raised(self, report: Alarm, line: str = "") -> StoredAlarm:
        """Add a report; return its alarm, which is new or repeated. `line` is the call's, or ""."""
        now = self._clock()
        subject = kind_of(report.kind).subject_of(report.detail)[:200]
        key = (report.kind, report.call_id, subject)
        before = self._same(key, now)
        if before is None and self._count_open(report.kind) >= MOST_OF_KIND:
            key = (report.kind, None, _MANY)
            before = self._same(key, now)
        if before is None:
            alarm = StoredAlarm(
                secrets.token_hex(6),
                kind=key[0],
                call_id=key[1],
                line=line[:200] if key[1] else "",
                subject=key[2],
                detail=report.detail[:300],
                first=now,
                latest=now,
            )
            self._newest[key] = alarm.alarm_id
        else:
            again = replace(before, latest=now, count=before.count + 1, detail=report.detail[:300])
            alarm = replace(again, closed=0.0, taken_by="", taken=0.0) if before.closed else again
        self._put(alarm)
        return alarm

    def _same(self, key: _Key, now: float) -> StoredAlarm | None:
        """Return the alarm that a report with this key repeats; None if it begins a new one."""
        alarm = self._alarms.get(self._newest.get(key, ""))
        if alarm is None or not alarm.closed:
            return alarm
        return alarm if not alarm.closed_by and now - alarm.closed <= _SAME_S else None

    def _count_open(self, kind: str) -> int:
        return sum(alarm.kind == kind and not alarm.closed for alarm in self._alarms.values())

    # Alarms that end by themselves

    def event(self, kind: str, subject: str) -> None:
        """End the alarm that this event about `subject` ends, such as `peer.down` for `peer.up`."""
        self._end((ENDS[kind], None, subject))

    def ended(self, ending: Ending, call_id: str | None = None) -> None:
        """End the alarms with this call id (or with None) whose kind has this ending."""
        for kind, traits in KINDS.items():
            if traits.ending is ending:
                self._end((kind, call_id, ""))

    def peers_known(self, peers: Iterable[PeerStatus]) -> None:
        """End the alarms about peers and trunks that the switch now reports as up."""
        for peer in peers:
            if peer.up:
                kind = "peer.down" if peer.asked_by == "options" else "trunk.unregistered"
                self._end((kind, None, peer.name[:200]))

    def naming_known(self, naming: Mapping[str, bool]) -> None:
        """End the alarms about trunks that name their parties now, as the switch reports."""
        for trunk, names in naming.items():
            if names:
                self._end(("pbx.no_names", None, trunk[:200]))

    def emergency_route_known(self) -> None:
        """End the alarm about emergency calls, because the switch can now route them."""
        self._end(("emergency.no_route", None, ""))

    def call_changed(self, call_id: str, before: CallStage, after: CallStage) -> None:
        """End the alarms of a call that are settled by this change of the call."""
        if before == after:
            return
        for alarm in self.open():
            if alarm.call_id == call_id and _is_settled(alarm, after):
                self._end(_key(alarm))

    def calls_known(self, find: Callable[[str], CallStage]) -> None:
        """End the alarms that calls have settled while the switch was not connected."""
        for alarm in self.open():
            if alarm.call_id is not None and _is_settled(alarm, find(alarm.call_id)):
                self._end(_key(alarm))

    def _end(self, key: _Key) -> None:
        alarm = self._alarms.get(self._newest.get(key, ""))
        if alarm is not None and not alarm.closed:
            alarm = replace(alarm, closed=self._clock())
            self._put(alarm)
            self._on_change(alarm)

    # Decisions of people

    async def take(self, alarm_id: str, user: str, actor: str) -> StoredAlarm:
        """Store that a user handles an alarm; return the alarm.

        Raises:
            AlarmError: Another user has taken it, or it is closed.
            AuditError: The audit cannot be written. Nothing has changed.
            SQLAlchemyError: The database cannot be written. Nothing has changed.
        """

        def take(alarm: StoredAlarm) -> StoredAlarm:
            if alarm.closed:
                raise AlarmError("the alarm is closed", "nothing is left to do")
            if alarm.taken_by == user:
                return alarm
            _check_not_taken(alarm, user)
            return replace(alarm, taken_by=user, taken=self._clock())

        return await self._decide(alarm_id, take, "alarm.taken", {"actor": actor})

    async def release(
        self, alarm_id: str, user: str, actor: str, *, for_others: bool
    ) -> StoredAlarm:
        """Store that an alarm is not taken now. With `for_others`, another user may have taken it.

        Raises:
            AlarmError: Another user has taken it and `for_others` is false, or it is closed.
            AuditError: The audit cannot be written. Nothing has changed.
            SQLAlchemyError: The database cannot be written. Nothing has changed.
        """

        def release(alarm: StoredAlarm) -> StoredAlarm:
            if alarm.closed:
                raise AlarmError("the alarm is closed", "nothing is left to do")
            if not for_others:
                _check_not_taken(alarm, user)
            return replace(alarm, taken_by="", taken=0.0)

        return await self._decide(alarm_id, release, "alarm.released", {"actor": actor})

    async def close(self, alarm_id: str, user: str, actor: str, remark: str) -> StoredAlarm:
        """Store that a user has closed an alarm, even if another user took it; return the alarm.

        Raises:
            AuditError: The audit cannot be written. Nothing has changed.
            SQLAlchemyError: The database cannot be written. Nothing has changed.
        """

        def close(alarm: StoredAlarm) -> StoredAlarm:
            if alarm.closed:
                return alarm
            return replace(alarm, closed=self._clock(), closed_by=user, remark=remark)

        personal = {"actor": actor, "remark": remark}
        closed = await self._decide(alarm_id, close, CLOSED, personal)
        self._in_audit[alarm_id] = False
        return closed

    async def compared(self, node: str) -> list[IndexFinding]:
        """Return alarms whose rows were changed (`AlarmStore.compared`). Raises `AuditError`."""
        return await self._store.compared(node, self._clock(), self._kept_s)

    async def _decide(
        self, alarm_id: str, change: Change, event: str, personal: Mapping[str, str]
    ) -> StoredAlarm:
        """Audit and store a decision, then apply it to the alarm in its present state."""
        async with self._deciding:
            alarm = self._alarms[alarm_id]
            if change(alarm) == alarm:
                return alarm
            await self._audit(event, _facts(alarm), personal)
            async with self._writing:
                alarm = self._alarms.get(alarm_id, alarm)
                decided = change(alarm)
                await self._store.save([decided])
            newest = self._alarms.get(alarm_id, alarm)
            if newest != alarm:
                decided = change(newest)
                self._unsaved.add(alarm_id)
                self._wake.set()
            self._alarms[alarm_id] = decided
            self._limit_closed()
            self._on_change(decided)
            return decided

    # The database

    async def run(self) -> None:
        """Write changed alarms to the database, and remove old ones, until cancelled."""
        cleaning_due = time.monotonic()
        failed = False
        while True:
            self._wake.clear()
            try:
                await self._save()
                if time.monotonic() >= cleaning_due:
                    await self._clean()
                    cleaning_due = time.monotonic() + _CLEANING_S
            except SQLAlchemyError as error:
                if not failed:
                    log.error("alarms.not_written", why=type(error).__name__)  # noqa: TRY400
                failed = True
                await asyncio.sleep(_RETRY_S)
                continue
            failed = False
            await asyncio.sleep(_REST_S)
            await self._woken_before(cleaning_due)

    async def stop(self) -> None:
        """Write the alarms that are not written yet, if this takes at most `_STOP_S` seconds."""
        try:
            async with asyncio.timeout(_STOP_S):
                await self._save()
        except (SQLAlchemyError, TimeoutError) as error:
            log.error("alarms.not_written", why=type(error).__name__)  # noqa: TRY400

    async def _woken_before(self, due: float) -> None:
        try:
            async with asyncio.timeout(max(due - time.monotonic(), 0.0)):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _save(self) -> None:
        async with self._writing:
            changed, self._unsaved = self._unsaved, set()
            try:
                alarms = [self._alarms[each] for each in changed & set(self._alarms)]
                if not await self._save_with_entries(alarms):
                    await self._store.save(alarms)
            except BaseException:
                self._unsaved |= changed
                raise

    async def _save_with_entries(self, alarms: Sequence[StoredAlarm]) -> bool:
        """Write alarms together with their audit entries; return False if nothing was written."""
        kinds = {each.alarm_id: kind for each in alarms if (kind := self._entry_kind(each))}
        if self._audit_after is None or not kinds:
            return False

        async def work(connection: AsyncConnection) -> list[NewEntry]:
            await self._store.write(connection, alarms)
            return [
                NewEntry(kinds[each.alarm_id], _facts(each))
                for each in alarms
                if each.alarm_id in kinds
            ]

        try:
            await self._audit_after(work)
        except AuditError as error:
            log.error("alarms.not_audited", why=str(error))  # noqa: TRY400
            return False
        self._in_audit |= {alarm_id: kind == RAISED for alarm_id, kind in kinds.items()}
        return True

    def _entry_kind(self, alarm: StoredAlarm) -> str:
        """Return the kind of the audit entry that an alarm needs, or "".

        An alarm that opens again needs none until the next `_clean`, so that a peer that goes up
        and down does not fill the audit.
        """
        is_open = self._in_audit.get(alarm.alarm_id)
        if alarm.closed:
            return ENDED if is_open is not False and not alarm.closed_by else ""
        return RAISED if is_open is None else ""

    async def _clean(self) -> None:
        now = self._clock()
        for alarm in self.open():
            if self._in_audit.get(alarm.alarm_id) is False:
                del self._in_audit[alarm.alarm_id]
                self._unsaved.add(alarm.alarm_id)
                self._wake.set()
        await self._store.expire(now - self._kept_s)
        for alarm in self.all():
            if alarm.closed and alarm.closed < now - _DAY_S:
                self._forget(alarm)

    def _put(self, alarm: StoredAlarm) -> None:
        self._alarms[alarm.alarm_id] = alarm
        self._unsaved.add(alarm.alarm_id)
        self._wake.set()
        self._limit_closed()

    def _limit_closed(self) -> None:
        closed = [each for each in self._alarms.values() if each.closed]
        if len(closed) > MOST_CLOSED:
            self._forget(min(closed, key=lambda each: each.closed))

    def _forget(self, alarm: StoredAlarm) -> None:
        del self._alarms[alarm.alarm_id]
        self._in_audit.pop(alarm.alarm_id, None)
        if self._newest.get(_key(alarm)) == alarm.alarm_id:
            del self._newest[_key(alarm)]


def _check_not_taken(alarm: StoredAlarm, user: str) -> None:
    if alarm.taken_by not in {"", user}:
        raise AlarmError(f"{alarm.taken_by} has taken this alarm", "ask them, or close the alarm")


def _facts(alarm: StoredAlarm) -> dict[str, str]:
    return {"alarm": alarm.alarm_id, "kind": alarm.kind, "call_id": alarm.call_id or ""}


def _key(alarm: StoredAlarm) -> _Key:
    return alarm.kind, alarm.call_id, alarm.subject


def _is_settled(alarm: StoredAlarm, call: CallStage) -> bool:
    match alarm.traits.ending:
        case Ending.PAUSE:
            return call.ended or call.recording != "paused"
        case Ending.RECORDING:
            return not call.ended and call.recording == "recording"
        case Ending.CALL:
            return call.ended
        case _:
            return False
