"""Retention: until when each recording is kept, and the disposal of those whose term is over.

The rules are in the settings. A changed set of rules is a new version. If some recording may go
earlier by it than before, the version waits until two administrators have approved it; until then
the version before it stays in force. The first version waits too if there are recordings already.

A recording's term is computed when it is indexed, when its flags change, and each night, because
its contact note can change too.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NoReturn

import structlog
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from galwad.archive.agreement import refuse_dependent
from galwad.archive.clock import CONFIRMED, ClockWatch
from galwad.archive.desk_socket import FinaliserDownError
from galwad.archive.disposals import Decision, Disposals
from galwad.archive.periodic import next_time
from galwad.host.errors import ApiError
from galwad.host.host import Host
from galwad.messages import Alarm
from galwad.settings.retention import (
    RetentionFacts,
    RetentionRule,
    keep_text,
    rule_for,
    shortens,
)
from galwad.texts.text_lists import TextLists
from recording.archive.disposal import AppliedRule
from recording.archive.verify import recordings_below
from recording.audit.log import Facts, NewEntry
from recording.errors import CatalogueError
from recording.index.catalogue import Catalogue
from recording.index.holds import LegalHolds
from recording.index.search import Cursor
from recording.index.terms import RulesVersion, Term, TermFacts, Terms

RUN: Final = "retention.run"
_ACTOR: Final = "system"
_INTERVAL_S: Final = 30.0
_SETTLE_S: Final = 60.0
"""The seconds after the desk's start until the first pass over all recordings."""
_BATCH: Final = 500
_RULES: Final = TypeAdapter(tuple[RetentionRule, ...])
CONFIRM: Final = (
    "check the clock, and after a restore the legal holds, then: galwad retention confirm-clock"
)
_OTHER_REASON: Final = "wait until then; an erasure, a mistake or an order is another reason"
_NO_FINALISER: Final = "the finaliser cannot be reached"
_RETRY_S: Final = 600.0
"""The seconds until the next try if the finaliser could not be reached."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class DisposalCounts:
    """The result of disposing of recordings whose term is over.

    The finaliser refused `failed` recordings. `waits` says why nothing more was disposed of, or is
    "". If further recordings may be due, `after` is where the next run begins.
    """

    disposed: int
    failed: int
    waits: str
    after: str | None = None


@dataclass(slots=True)
class CategoryPreview:
    """The effect of a version of the rules on the recordings of one of its categories.

    `earlier` and `later` count the recordings that may go earlier or later than by the rules in
    force. The term of `due` recordings would be over at once.
    """

    category: str
    recordings: int = 0
    earlier: int = 0
    later: int = 0
    due: int = 0


@dataclass(frozen=True, slots=True)
class RulesInForce:
    """The rules in force, and the number of their version."""

    rules: tuple[RetentionRule, ...]
    version: int


class Retention:
    """Keeps the terms of all recordings, and disposes of those whose term is over."""

    def __init__(
        self,
        host: Host,
        terms: Terms,
        lists: TextLists,
        catalogue: Catalogue,
        disposals: Disposals,
        *,
        holds: LegalHolds,
        clock: Callable[[], float] = time.time,
        watch: ClockWatch | None = None,
    ) -> None:
        self._host = host
        self._rules = host.settings.retention
        self._zone = host.settings.desk.time_zone
        self.terms = terms
        self._lists = lists
        self._catalogue = catalogue
        self._disposals = disposals
        self._holds = holds
        self.clock = clock
        self.watch = watch or ClockWatch(host.audit, clock=clock)
        self._in_force: RulesInForce | None = None
        self._started_at = clock()
        self._running = asyncio.Lock()

    @property
    def in_force(self) -> RulesInForce | None:
        """The rules in force; None if the first version waits for approval."""
        return self._in_force

    # The versions of the rules

    async def start(self) -> None:
        """Compare the rules in the settings with those in force, and store a new version if needed.

        Raises `AuditError` or `CatalogueError`.
        """
        stored, waiting = await self.terms.in_force(), await self.terms.waiting()
        self._in_force = None if stored is None else rules_of(stored)
        text = _text(self._rules)
        if stored is not None and stored.rules == text:
            if waiting is not None:
                await self._withdraw(waiting)
            return
        if waiting is None or waiting.rules != text:
            await self._add(text)
        if self._in_force is None or _text(self._in_force.rules) != text:
            self._host.alarm(Alarm("retention.waiting"))

    async def _add(self, text: str) -> None:
        before = None if self._in_force is None else self._in_force.rules
        is_first = before is None and not await self._has_recordings()
        in_force = is_first or not shortens(before, self._rules, self._lists.purpose_in_both)
        now = self.clock()
        number = 0

        async def add(connection: AsyncConnection) -> list[NewEntry]:
            nonlocal number
            number = await self.terms.add_version(connection, text, now, in_force=in_force)
            kind = "retention.changed" if in_force else "retention.proposed"
            return [NewEntry(kind, {"version": number, "rules": text})]

        await self._host.audit.append_after(add)
        if in_force:
            self._in_force = RulesInForce(self._rules, number)

    async def _has_recordings(self) -> bool:
        """Return whether the index or the archive has a recording. The index may be lost."""
        if not await self.terms.is_empty():
            return True
        archive = self._host.settings.archive
        return bool(await asyncio.to_thread(recordings_below, archive))

    async def _withdraw(self, waiting: RulesVersion) -> None:
        async def withdraw(connection: AsyncConnection) -> list[NewEntry]:
            await self.terms.withdraw(connection, self.clock())
            return [NewEntry("retention.withdrawn", {"version": waiting.version})]

        await self._host.audit.append_after(withdraw)

    async def preview(self) -> list[CategoryPreview]:
        """Return what the version that waits would change; empty if none waits.

        It reads all recordings. Raises `CatalogueError`.
        """
        waiting = await self.terms.waiting()
        if waiting is None:
            return []
        new, now = rules_of(waiting), self.clock()
        found = {rule.category: CategoryPreview(rule.category) for rule in new.rules}
        async for batch in self._all_facts():
            for facts in batch:
                after = self._term(facts, new)
                if after is None:
                    continue
                term = None if self._in_force is None else self._term(facts, self._in_force)
                old = None if term is None else term.due
                counts = found[after.category]
                counts.recordings += 1
                counts.earlier += _time(after.due) < _time(old)
                counts.later += _time(after.due) > _time(old)
                counts.due += _time(after.due) <= now
        return list(found.values())

    async def approve(self, version: int, actor: str) -> bool:
        """Approve a version; return whether it is in force now, with the second approval.

        Raises:
            ApiError: 409, this version does not wait, the same person has approved it before, or
                the two accounts are linked (`refuse_dependent`).
            AuditError: The audit cannot be written.
            CatalogueError: The index cannot be read or written.
        """
        async with self._alone():
            waiting = await self.terms.waiting()
            if waiting is None or waiting.version != version:
                raise ApiError(
                    409, "this version does not wait for approval", "read the plan again"
                )
            if waiting.approver == actor:
                raise ApiError(
                    409, "you have approved this version already", "ask a second administrator"
                )
            if waiting.approver:
                first, second = (each.removeprefix("user:") for each in (waiting.approver, actor))
                await refuse_dependent(self._host.audit, first, second, self.clock())
            counts = await self.preview()
            facts: Facts = {
                "version": version,
                "earlier": sum(each.earlier for each in counts),
                "due": sum(each.due for each in counts),
            }
            in_force = self.clock() if waiting.approver else None

            entries = [NewEntry("retention.approved", facts, {"actor": actor})]
            if in_force is not None:
                changed: Facts = {"version": version, "rules": waiting.rules}
                entries.append(NewEntry("retention.changed", changed))

            async def approve(connection: AsyncConnection) -> list[NewEntry]:
                await self.terms.approve(connection, version, actor, in_force)
                return entries

            await self._host.audit.append_after(approve)
            if in_force is None:
                return False
            self._in_force = rules_of(waiting)
        self._host.background.spawn(self._assign_outdated())
        return True

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the lock of all work with terms; raise an `ApiError` (409) while others hold it."""
        if self._running.locked():
            raise ApiError(
                409, "recordings are being disposed of, or rules approved", "try again later"
            )
        async with self._running:
            yield

    # The terms of recordings

    async def assign(self, call_ids: Collection[str]) -> None:
        """Compute the terms of at most 500 recordings again. Raises `CatalogueError`."""
        await self._write(await self.terms.facts_of(call_ids))

    async def _assign_all(self) -> None:
        """Compute the terms of all recordings again."""
        async for batch in self._all_facts():
            await self._write(batch)

    async def _assign_outdated(self) -> None:
        """Compute the terms that are not of the version in force."""
        if self._in_force is not None:
            async for batch in self._all_facts(self._in_force.version):
                await self._write(batch)

    async def _all_facts(self, outdated: int | None = None) -> AsyncIterator[list[TermFacts]]:
        last = ""
        while batch := await self.terms.facts_after(last, _BATCH, outdated):
            yield batch
            last = batch[-1].call_id

    async def _write(self, facts: Sequence[TermFacts]) -> None:
        if self._in_force is None:
            return
        new = [(each.term, self._term(each, self._in_force)) for each in facts]
        await self.terms.put([after for before, after in new if after not in {None, before}])

    def _term(self, facts: TermFacts, rules: RulesInForce) -> Term | None:
        rule = self._rule(facts, rules)
        if rule is None:
            return None
        return Term(facts.call_id, rule.category, self._due(rule, facts, rules), rules.version)

    def _due(self, rule: RetentionRule, facts: TermFacts, rules: RulesInForce) -> float | None:
        """Return when a recording is due by its rule.

        If its line is lost, and an earlier rule asks for a line, the recording may belong there: it
        is due only by hand.
        """
        before = rules.rules[: rules.rules.index(rule)]
        if not facts.is_known and any(each.lines for each in before):
            return None
        return rule.due(facts.ended, self._zone)

    def _rule(self, facts: TermFacts, rules: RulesInForce) -> RetentionRule | None:
        purposes = self._lists.purpose_in_both(facts.purpose)
        return rule_for(rules.rules, RetentionFacts(facts.line, purposes, facts.flags))

    async def refuse_before_term(self, call_id: str) -> None:
        """Raise an `ApiError` (409) if a person may not yet dispose of a recording as outdated.

        The minimum of its rule must be over; without a minimum, the term. Without rules in force,
        each recording may be disposed of. If the recording was retained, the time after the release
        must be over, too.
        """
        kept_until = (await self._disposals.custodian.one(call_id)).kept_until
        if self.clock() < kept_until:
            self._refuse_before(kept_until, "it was retained for a legal hold", "wait until then")
        found = await self.terms.facts_of([call_id])
        rule = self._rule(found[0], self._in_force) if found and self._in_force else None
        if rule is None:
            return
        ended = found[0].ended
        over = rule.by_hand_after(ended, self._zone)
        if self.clock() < over:
            self._refuse_before(over, rule.category, _OTHER_REASON)
        doubt = "" if over == ended else await self.why_in_doubt()
        if doubt:
            raise ApiError(409, f"this machine's clock is in doubt: {doubt}", CONFIRM)

    def _refuse_before(self, over: float, why: str, hint: str) -> NoReturn:
        day = datetime.fromtimestamp(over, self._zone).date()
        text = f"nobody may dispose of this recording ({why}) as outdated before {day}"
        raise ApiError(409, text, hint)

    # The disposal of recordings whose term is over

    async def run(self) -> None:
        """Compute all terms after the start, then dispose of recordings each night."""
        await asyncio.sleep(_SETTLE_S)
        try:
            await self._assign_outdated()
        except Exception:  # The next night computes them again.
            log.exception("retention.not_assigned")
        while True:
            rest = _INTERVAL_S
            try:
                await self.watch.check_step()
                if await self.is_due() and (await self.nightly()).waits == _NO_FINALISER:
                    rest = _RETRY_S
            except Exception:  # A fault of one night must not end the disposals of all nights.
                log.exception("retention.not_run")
                rest = _RETRY_S
            await asyncio.sleep(rest)

    async def is_due(self) -> bool:
        """Return whether the nightly time has passed since the newest run, or since the start.

        A run that waited for the clock is repeated at once when the clock is confirmed.
        """
        now = self.clock()
        last = await self._host.audit.last(RUN, by=now)
        self._started_at = min(self._started_at, now)
        if last is not None and last.facts.get("waits"):
            confirmed = await self._host.audit.last(CONFIRMED)
            if confirmed is not None and confirmed.seq > last.seq:
                return True
        since = self._started_at if last is None else last.at_us / 1_000_000
        return now >= next_time(self._host.settings.desk.nightly, since, self._zone)

    async def nightly(self) -> DisposalCounts:
        """Compute all terms again, and dispose of each recording whose term is over.

        While the finaliser cannot be reached, the run does not count, and is repeated later.

        Raises `AuditError` or `CatalogueError`.
        """
        async with self._running:
            await self._assign_all()
        counts = await self.dispose_due(None)
        if counts.waits == _NO_FINALISER:
            log.warning("retention.waits", why=counts.waits, disposed=counts.disposed)
            return counts
        if counts.waits:
            self._host.alarm(Alarm("retention.clock", None, counts.waits))
        if counts.failed:
            self._host.alarm(Alarm("retention.failed", None, str(counts.failed)))
        today = datetime.fromtimestamp(self.clock(), self._zone).date().isoformat()
        if for_review := await self._holds.count_for_review(today):
            self._host.alarm(Alarm("hold.review", None, str(for_review)))
        facts: Facts = {"disposed": counts.disposed, "failed": counts.failed, "waits": counts.waits}
        await self._host.audit.append(RUN, facts)
        log.info(RUN, **facts)
        return counts

    async def why_in_doubt(self) -> str:
        """Return why this machine's clock is in doubt; "" if it can be trusted.

        Raises `AuditError`.
        """
        await self.watch.check_step()
        await self.watch.check_gap(await self._host.audit.last(RUN))
        return await self.watch.why_in_doubt()

    async def dispose_due(self, limit: int | None, after: Cursor | None = None) -> DisposalCounts:
        """Dispose of at most `limit` recordings whose term is over (None: of all), oldest first.

        Begin after the place `after`. Recordings that the finaliser refuses count too.

        Raises:
            ApiError: 409, recordings are being disposed of already.
            AuditError: The audit cannot be read or written.
            CatalogueError: The index cannot be read or written.
        """
        async with self._alone():
            disposed = failed = 0
            await self._assign_outdated()
            waits = await self.why_in_doubt()
            while not waits and (limit is None or disposed + failed < limit):
                most = _BATCH if limit is None else min(_BATCH, limit - disposed - failed)
                batch = await self.terms.due(self.clock(), most, after)
                if not batch:
                    return DisposalCounts(disposed, failed, "")
                for place in batch:
                    call_id = place.call_id
                    try:
                        disposed += await self._dispose(call_id)
                    except FinaliserDownError:
                        return DisposalCounts(disposed, failed, _NO_FINALISER, _text_of(after))
                    except ApiError as error:
                        log.warning("retention.failed", call_id=call_id, why=error.error)
                        failed += 1
                    after = place
                await self.watch.check_step()
                waits = await self.watch.why_in_doubt()
            return DisposalCounts(disposed, failed, waits, _text_of(after))

    async def _dispose(self, call_id: str) -> bool:
        """Dispose of a recording if its term is over by the facts of now; return whether it was.

        Raises `ApiError`, `AuditError` or `CatalogueError`.
        """
        if not self._disposals.possible:
            raise FinaliserDownError  # before an order is entered in the audit
        async with self._disposals.custodian.deciding:
            recording = await self._catalogue.get(call_id)
            found = await self.terms.facts_of([call_id])
            if recording is None or not found or self._in_force is None:
                return False
            await self._write(found)
            rule = self._rule(found[0], self._in_force)
            due = None if rule is None else self._due(rule, found[0], self._in_force)
            if rule is None or due is None or not await self.terms.is_due(call_id, self.clock()):
                return False
            applied = AppliedRule(
                category=rule.category,
                keep=keep_text(rule.keep),
                counted_from=rule.counted_from or "",
                version=self._in_force.version,
                due=datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )
            reference = f"retention: {rule.category}, version {self._in_force.version}"
            await self._disposals.dispose(
                recording, Decision("retention", _ACTOR, reference, applied)
            )
            return True


def _text_of(place: Cursor | None) -> str | None:
    return None if place is None else str(place)


def _time(due: float | None) -> float:
    return float("inf") if due is None else due


def _text(rules: Sequence[RetentionRule]) -> str:
    """Return the text of rules that is stored and compared: JSON, as in the settings."""
    return json.dumps(_RULES.dump_python(tuple(rules), mode="json"), sort_keys=True)


def rules_of(version: RulesVersion) -> RulesInForce:
    """Read stored rules. Raises `CatalogueError` if another program has changed them."""
    try:
        return RulesInForce(_RULES.validate_json(version.rules), version.version)
    except ValidationError:
        raise CatalogueError(
            f"version {version.version} of the rules of retention was changed"
        ) from None
