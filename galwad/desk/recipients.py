"""The signed set of recipients, watched: the audit has each that came into force or was refused.

The file is put there by hand, and the finaliser believes it or not. Here that is noted, so that
nobody changes who can open recordings, not even with the officer's key, without a trace.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from recording.audit import AuditLog, Facts
from recording.errors import AuditError, KeySetError
from recording.keys import RecipientSet

CHANGED: Final = "recipients.changed"
_STEP_S: Final = 60.0
log = structlog.get_logger()


class RecipientsWatch:
    """Compares the set with what the audit said of it last."""

    def __init__(self, path: Path | None, officer_key: str, audit: AuditLog) -> None:
        self._path = path
        self._officer_key = officer_key
        self._audit = audit

    async def look(self) -> None:
        """Note the set if it is another than before, or no longer believed."""
        if self._path is None:
            return
        facts = await asyncio.to_thread(self._facts, self._path)
        last = await self._audit.last(CHANGED)
        if last is None or last.facts != facts:
            await self._audit.append(CHANGED, facts)
            log.info(CHANGED, state=facts["state"], serial=facts.get("serial"))

    async def run(self) -> None:
        """Look now and once a minute, until cancelled."""
        while True:
            try:
                await self.look()
            except (AuditError, SQLAlchemyError):
                log.exception("recipients.not_noted")
            await asyncio.sleep(_STEP_S)

    def _facts(self, path: Path) -> Facts:
        try:
            found = RecipientSet.load(path, self._officer_key)
        except KeySetError as error:
            return {"state": "refused", "why": str(error), "officer_key": self._officer_key}
        return {
            "state": "in force",
            "serial": found.serial,
            "recipients": ",".join(found.fingerprints),
            "officer_key": self._officer_key,
        }
