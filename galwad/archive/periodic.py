"""The checks of coverage, of the audit's anchors and of the recipient set, which the desk repeats.

Each check of coverage adds an audit entry. If the newest entry is too old, a check was missed, and
the desk makes one when it runs again. An entry with a time in the future is ignored: the clock was
wrong when it was added, and the desk would otherwise make no check before that time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from time import time as unix_time
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from galwad.archive.coverage import CoverageChecker, CoverageResult
from galwad.messages import Alarm
from recording.audit.anchors import Anchor, append_anchor, last_anchor
from recording.audit.log import AuditFilter, AuditLog, Facts
from recording.errors import AuditError, KeySetError, RecordingError
from recording.keys.keyring import RecipientsFile

COVERAGE_CHECKED: Final = "coverage.checked"
RECIPIENTS_CHANGED: Final = "recipients.changed"
_DAY_S: Final = 86_400.0
_INTERVAL_S: Final = 30.0
_SETTLE_S: Final = 300.0
"""The seconds after the desk's start until the first check. By then the switch has reported the
calls in progress, and the finaliser the unsealed spools.
"""
_RECIPIENTS_S: Final = 60.0
_MAX_SETS: Final = 1000
"""The most audit entries about earlier sets that are read. A year adds only a few."""
log = structlog.get_logger()


class NightlyCheck:
    """Runs the coverage check once a day at `at`, such as "03:00", in `zone` or local time.

    `calls_in_progress` returns None if the calls are not known. After each check, `on_done`
    receives the result, and then `on_finished` is called.
    """

    def __init__(
        self,
        at: str,
        checker: CoverageChecker,
        audit: AuditLog,
        *,
        calls_in_progress: Callable[[], Collection[str] | None],
        on_alarm: Callable[[Alarm], None],
        on_done: Callable[[CoverageResult], None],
        on_finished: Callable[[], Awaitable[None]],
        zone: tzinfo | None = None,
        clock: Callable[[], float] = unix_time,
    ) -> None:
        self._zone = zone
        self._at = at
        self._checker = checker
        self._audit = audit
        self._calls_in_progress = calls_in_progress
        self._on_alarm = on_alarm
        self._on_done = on_done
        self._on_finished = on_finished
        self.clock = clock
        self.started_at = clock()

    async def run(self) -> None:
        """Run a check when one is due or was missed, but not in the first `_SETTLE_S` seconds."""
        await asyncio.sleep(_SETTLE_S)
        while True:
            try:
                if await self.is_due():
                    await self.check()
            except (RecordingError, OSError) as error:
                log.error("coverage.not_checked", why=str(error))  # noqa: TRY400 - it says what
            await asyncio.sleep(_INTERVAL_S)

    async def is_due(self) -> bool:
        """Return whether `at` has passed since the latest check, or the start if there was none."""
        now = self.clock()
        last = await self._last(now)
        self.started_at = min(self.started_at, now)
        return now >= next_time(self._at, self.started_at if last is None else last, self._zone)

    async def check(self) -> CoverageResult:
        """Check coverage, raise an alarm for each new finding, and add an audit entry.

        The period begins one day before the previous check or, if there was none, before now.
        """
        now = self.clock()
        last = await self._last(now)
        since = (now if last is None else last) - _DAY_S
        result = await self._checker.check(since, now, self._calls_in_progress())
        for kind, call_id in await self._checker.new_findings(result):
            self._on_alarm(Alarm(kind, call_id or None))
        facts = {
            "since": int(since),
            "until": int(now),
            "calls": result.calls,
            "amiss": len(result.faulty_calls),
            "unexplained_us": result.unexplained_us,
            "orphans": len(result.orphans),
            "silent": len(result.silent_calls),
        }
        await self._audit.append(COVERAGE_CHECKED, facts)
        log.info("coverage.checked", **facts)
        self._on_done(result)
        await self._on_finished()
        return result

    async def _last(self, now: float) -> float | None:
        entry = await self._audit.last(COVERAGE_CHECKED, by=now)
        return None if entry is None else entry.at_us / 1_000_000


def next_time(at: str, after: float, zone: tzinfo | None = None) -> float:
    """Return the first Unix time after `after` with this time of day, in `zone` or local time."""
    moment = time.fromisoformat(at)
    day = datetime.fromtimestamp(after, zone).date()
    # Add a calendar day and not 24 hours, because a day on which the clocks change is shorter or
    # longer.
    while (due := datetime.combine(day, moment, zone).timestamp()) <= after:
        day += timedelta(days=1)
    return due


class AnchorFile:
    """Appends anchors to a file on this machine: the head of the audit chain after each check.

    If an entry of the chain is changed later, the chain no longer agrees with the anchors.
    """

    def __init__(
        self, path: Path, node: str, audit: AuditLog, on_alarm: Callable[[Alarm], None]
    ) -> None:
        self._path = path
        self._node = node
        self._audit = audit
        self._on_alarm = on_alarm

    async def head(self) -> Anchor | None:
        """Return an anchor of the audit chain's present head; None if the chain has no entry."""
        head = await self._audit.head()
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return None if head is None else Anchor(self._node, head, at)

    async def append(self) -> None:
        """Append an anchor of the present head, unless the chain has no entry.

        Raise an alarm if the newest anchor is of this node and differs from the chain, or if the
        file cannot be written.
        """
        anchor = await self.head()
        if anchor is None:
            return
        try:
            last = await asyncio.to_thread(last_anchor, self._path)
            if last is not None and last.node == anchor.node:
                await self._compare(last)
            await asyncio.to_thread(append_anchor, self._path, anchor)
        except OSError as error:
            self._on_alarm(Alarm("audit.not_anchored", None, error.strerror or ""))

    async def _compare(self, last: Anchor) -> None:
        found = await self._audit.chain_entries(last.head.seq - 1, 1)
        if not found or (found[0].seq, found[0].hash) != (last.head.seq, last.head.hash):
            text = f"audit entry {last.head.seq} differs from the anchor of {last.at}"
            self._on_alarm(Alarm("audit.cut", None, text))


def highest_serial(noted: Iterable[Mapping[str, object]], officer_key: str) -> int:
    """Return the highest serial number in the facts about sets of `officer_key`; 0 if none."""
    serials = (
        facts.get("serial") for facts in noted if facts.get("officer_key", "") == officer_key
    )
    return max((serial for serial in serials if isinstance(serial, int)), default=0)


class RecipientsWatch:
    """Checks the file with the recipient set, and adds an audit entry if the set has changed.

    The recipients can decrypt new recordings, so the audit chain must show even a change with a
    valid signature of the officer.
    """

    def __init__(
        self,
        file: RecipientsFile,
        audit: AuditLog,
        on_alarm: Callable[[Alarm], None] = lambda _: None,
    ) -> None:
        self._file = file
        self._audit = audit
        self._on_alarm = on_alarm

    async def check(self) -> None:
        """Add an audit entry if the set differs from that of the newest entry, or is now invalid.

        With this entry, raise an alarm if an older set was put back. The older set is refused,
        unless every copy of the newest set is lost: then the older set is in force, and only the
        audit shows that it is older.
        """
        facts = await asyncio.to_thread(_facts, self._file)
        last = await self._audit.last(RECIPIENTS_CHANGED)
        if last is None or last.facts != facts:
            earlier = await self._audit.search(
                AuditFilter(kind=RECIPIENTS_CHANGED), limit=_MAX_SETS
            )
            await self._audit.append(RECIPIENTS_CHANGED, facts)
            log.info(RECIPIENTS_CHANGED, state=facts["state"], serial=facts.get("serial"))
            officer_key = self._file.officer_key
            newest = highest_serial((link.facts for link in earlier), officer_key)
            serial = highest_serial([facts], officer_key)
            if "put_back" in facts:
                self._on_alarm(Alarm("recipients.put_back", detail=str(facts["why"])))
            elif 0 < serial < newest:
                text = f"set number {serial} is in force, but number {newest} was in force before"
                self._on_alarm(Alarm("recipients.put_back", detail=text))

    async def run(self) -> None:
        """Call `check` immediately, and then again every minute, until cancelled."""
        while True:
            try:
                await self.check()
            except (AuditError, SQLAlchemyError):
                log.exception("recipients.not_noted")
            await asyncio.sleep(_RECIPIENTS_S)


def _facts(file: RecipientsFile) -> Facts:
    try:
        found = file.load()
    except KeySetError as error:
        return {"state": "refused", "why": str(error), "officer_key": file.officer_key}
    in_force = found.recipients
    facts: Facts = {
        "state": "in force",
        "serial": in_force.serial,
        "recipients": ",".join(in_force.fingerprints),
        "officer_key": file.officer_key,
    }
    if found.put_back is None:
        return facts
    older = found.put_back.serial
    why = f"set number {older} is refused, because number {in_force.serial} is newer and in force"
    return {**facts, "put_back": older, "why": why}
