"""Watches the signed set of recipients, and adds an audit entry for each change.

The recipients can decrypt new recordings, so the audit chain must show even a change with a valid
signature of the officer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from galwad.messages import Alarm
from recording.audit.log import AuditFilter, AuditLog, Facts
from recording.errors import AuditError, KeySetError
from recording.keys.keyring import RecipientsFile

RECIPIENTS_CHANGED: Final = "recipients.changed"
_INTERVAL_S: Final = 60.0
_MAX_SETS: Final = 1000
"""The entries that one check reads; a new set is signed only a few times a year."""
log = structlog.get_logger()


def highest_serial(noted: Iterable[Mapping[str, object]], officer_key: str) -> int:
    """Return the highest serial number that `officer_key` signed in these facts; 0 if none."""
    serials = (
        facts.get("serial") for facts in noted if facts.get("officer_key", "") == officer_key
    )
    return max((serial for serial in serials if isinstance(serial, int)), default=0)


class RecipientsWatch:
    """Checks the file with the recipient set, and adds an audit entry if the set has changed."""

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

        Raise an alarm if an older set was put back. It is refused, unless every copy of the newest
        set is lost too: then only the audit knows that it is older.
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
            await asyncio.sleep(_INTERVAL_S)


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
