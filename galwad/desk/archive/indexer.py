"""Writes an index row for each recording that the finaliser reports.

Before the row is written, the digest of the recording's manifest is added to the audit chain. So a
manifest that is later lost or changed can be detected. If a recording is reported twice, the second
report changes nothing. If the finaliser silenced a card number in the recording, this is entered as
an incident.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from msgspec.structs import asdict
from sqlalchemy.exc import SQLAlchemyError

from callerid.errors import NumberError
from callerid.number import PhoneNumber
from galwad.messages import Alarm, Sealed
from recording.archive.commitments import IndexFacts
from recording.archive.summary import RecordingSummary
from recording.audit.log import AuditLog, Facts
from recording.errors import AuditError, CatalogueError
from recording.index.captured_cards import CapturedCards
from recording.index.catalogue import Catalogue
from recording.policy import GapReason

log = structlog.get_logger()


class Indexer:
    """Writes the index rows of recordings.

    When a recording's row is in the database, `on_indexed` is called with the finaliser's report of
    the recording.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        captured_cards: CapturedCards,
        audit: AuditLog,
        *,
        on_indexed: Callable[[Sealed], Awaitable[None]],
        on_alarm: Callable[[Alarm], None],
    ) -> None:
        self._catalogue = catalogue
        self._captured_cards = captured_cards
        self._audit = audit
        self._on_indexed = on_indexed
        self._on_alarm = on_alarm
        self._without_caller: set[str] = set()
        """The ids of the calls for which this object has raised the alarm `recording.locked`.

        Here the alarm means that the recording is archived without the caller's phone number. This
        number is stored only in the call's spool, which cannot be opened.
        """

    async def index(self, sealed: Sealed) -> bool:
        """Index a recording from the finaliser's report, and return whether the row is complete.

        True means that the row has the phone number, the line and the advisor, so the finaliser may
        remove the call's spools. False means that the spools are still needed: no row was written,
        or these three facts are stored only in the spools.
        """
        try:
            known = await self._catalogue.get(sealed.call_id)
            if sealed.recovered and not (known is not None and _is_of(known, sealed)):
                await self._audit_recovery(sealed)
            if known is None or known.manifest_sha256 != sealed.manifest_sha256:
                await self._audit_digest(sealed)
            row = None if sealed.personal else known
            new = row is None and await self._catalogue.add(index_row(sealed))
            await self._enter_captured_cards(sealed)
            if row is None or _is_of(row, sealed):
                await self._on_indexed(sealed)
        except (AuditError, CatalogueError, SQLAlchemyError):
            log.exception("recording.not_indexed", call_id=sealed.call_id)
            return False
        if not sealed.personal and (row is None or not _is_of(row, sealed)):
            self._alarm_without_caller(sealed.call_id)
            return False
        log.info("recording.indexed", call_id=sealed.call_id, again=not new)
        return True

    async def reindex(self, sealed: Sealed, corrected: IndexFacts | None = None) -> bool:
        """Index a recording that the finaliser has verified in the archive.

        If the recording already has a row, do not change the row, and return False. But if
        `corrected` is not None, replace the row, and use these facts about people for the new row.

        Raises:
            AuditError, CatalogueError: The recording was not indexed.
        """
        await self._audit_digest(sealed)
        row = index_row(sealed)
        if corrected is not None:
            await self._catalogue.add(msgspec.structs.replace(row, **asdict(corrected)))
            log.info("recording.row_corrected", call_id=sealed.call_id)
            return True
        new = await self._catalogue.add(row, replace=False)
        await self._enter_captured_cards(sealed)
        if new:
            await self._on_indexed(sealed)
            log.info("recording.reindexed", call_id=sealed.call_id)
        return new

    async def _audit_recovery(self, sealed: Sealed) -> None:
        """Add an audit entry which says that an officer's key opened spools of this call."""
        lives = ",".join(str(life) for life in sealed.recovered)
        await self._audit.append("spool.recovered", {"call_id": sealed.call_id, "lives": lives})

    async def _audit_digest(self, sealed: Sealed) -> None:
        """Add an audit entry with the digest of the recording's manifest."""
        facts = {"call_id": sealed.call_id, "manifest_sha256": sealed.manifest_sha256}
        await self._audit.append("recording.indexed", facts)

    async def _enter_captured_cards(self, sealed: Sealed) -> None:
        """Enter an incident, and an audit entry, for card numbers keyed outside a pause.

        Nothing is entered twice.
        """
        reason = GapReason.CAPTURED_CARD.value
        gaps = [gap for gap in sealed.gaps if gap.reason == reason]
        new = await self._captured_cards.unknown(sealed.call_id, gaps) if gaps else []
        for gap in new:
            facts: Facts = {"call_id": sealed.call_id, "from_us": gap.from_us, "to_us": gap.to_us}
            await self._audit.append("recording.captured-card", facts)
        await self._captured_cards.enter(sealed.call_id, new, time.time())

    def _alarm_without_caller(self, call_id: str) -> None:
        if call_id not in self._without_caller:
            self._without_caller.add(call_id)
            text = (
                "the recording is archived, but its caller is named only in its spool, "
                "whose key was lost when the machine restarted"
            )
            self._on_alarm(Alarm("recording.locked", call_id, text))


def _is_of(row: RecordingSummary, sealed: Sealed) -> bool:
    """Return whether the row is complete and was made from the recording in `sealed`.

    A row is complete if it has the phone number, the line and the advisor.
    """
    return row.has_personal_facts and row.manifest_sha256 == sealed.manifest_sha256


def index_row(sealed: Sealed) -> RecordingSummary:
    """Return the index row for a recording that the finaliser has reported.

    If the recording has a salt, its manifest has commitments to the numbers exactly as they were
    reported. They are then in the form that the index needs, and must not be changed.
    """
    fields = {name: getattr(sealed, name) for name in RecordingSummary.__struct_fields__}
    if sealed.salt:
        return RecordingSummary(**fields)
    own = {
        "number": indexed_number(sealed.number),
        "later_callers": tuple(
            msgspec.structs.replace(caller, number=indexed_number(caller.number))
            for caller in sealed.later_callers
        ),
    }
    return RecordingSummary(**fields | own)


def indexed_number(text: str | None) -> str | None:
    """Return a phone number in the form that the index stores and searches: the E.164 form.

    If the text cannot be read as a phone number, return the text unchanged. If `text` is None or
    empty, return None.
    """
    if not text:
        return None
    try:
        return PhoneNumber.parse(text).bare
    except NumberError:
        return text
