"""Salesforce as the destination of contact notes: each note is a completed task.

The task has the id of its call in a field of its own, which is an external id. So a note that is
delivered twice is one task.
"""

from __future__ import annotations

import re
from datetime import datetime, tzinfo
from typing import Final
from urllib.parse import quote

import httpx2

from callerid.errors import NoteRefusedError, SourceError, StatusError
from callerid.note_destination import EarlierDelivery, OutgoingNote
from callerid.note_text import subject_of, text_of
from callerid.salesforce import SalesforceApi
from callerid.templates import Json

_ID: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
_LONGEST_SUBJECT: Final = 255
_PERSON: Final = ("003", "00Q")
"""The first characters of the ids of contacts and leads."""
_EXISTS: Final = frozenset({"DUPLICATE_VALUE", "INVALID_FIELD_FOR_INSERT_UPDATE"})
"""The codes of the error if a task is to be created, and an earlier attempt has created it."""
_MISSING: Final = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})
"""The codes of the error if a task is to be changed, and there is no such task."""
_PASSING: Final = frozenset({"DUPLICATE_VALUE", "STORAGE_LIMIT_EXCEEDED", "UNABLE_TO_LOCK_ROW"})
"""The codes of the error 400 that another attempt may not have."""


class SalesforceNotes:
    """Delivers contact notes to Salesforce. The requests are sent by `api`.

    Args:
        name: The name of the directory.
        api: The API of the organisation.
        external_id: The API name of the task's field for the id of the call. It must be an external
            id, and unique.
        zone: The time zone of the tasks' dates; None for the time zone of this machine.
    """

    def __init__(
        self, name: str, api: SalesforceApi, external_id: str, zone: tzinfo | None = None
    ) -> None:
        self.name = name
        self._api = api
        self._external_id = external_id
        self._zone = zone

    async def deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        """Write a version of a note, and return the id of its task.

        Raises:
            NoteRefusedError: Salesforce does not accept this version, or the task was deleted.
            SourceBusyError: Salesforce asks for a rest, or the requests of the day are used up.
            SourceError: Salesforce cannot be reached now, or refuses Galwad's user.
        """
        if note.version <= earlier.version:
            return earlier.record_id
        try:
            return await self._deliver(note, earlier) or earlier.record_id
        except StatusError as error:
            if error.status == httpx2.codes.MULTIPLE_CHOICES:
                raise NoteRefusedError("Salesforce has several tasks of this call") from None
            if error.status == httpx2.codes.BAD_REQUEST and error.code not in {"", *_PASSING}:
                raise NoteRefusedError(f"Salesforce does not accept it ({error.code})") from None
            raise

    async def close(self) -> None:
        """Close the connections to Salesforce."""
        await self._api.close()

    async def _deliver(self, note: OutgoingNote, earlier: EarlierDelivery) -> str:
        task = _task(note, self._zone)
        if earlier.version:
            record_id = await self._update(note, task)
            if record_id is None:
                raise NoteRefusedError("the task was deleted in Salesforce")
            return record_id
        try:
            # The subtype can be set only when the task is created.
            return await self._write(note, {**task, "TaskSubtype": "Call"})
        except StatusError as error:
            if error.code not in _EXISTS:
                raise
            record_id = await self._update(note, task)
            if record_id is None:
                raise
            return record_id

    async def _update(self, note: OutgoingNote, task: dict[str, Json]) -> str | None:
        """Change the task of a note, and return its id; None if there is no such task."""
        try:
            return await self._write(note, task, ("updateOnly", "true"))
        except StatusError as error:
            if error.code not in _MISSING:
                raise
            return None

    async def _write(
        self, note: OutgoingNote, task: dict[str, Json], *query: tuple[str, str]
    ) -> str:
        """Create or change the task of a note; return its id, or "" if it is not named."""
        path = f"sobjects/Task/{self._external_id}/{quote(note.call_id, safe='')}"
        document = await self._api.send("PATCH", path, task, query)
        if document is None:  # 204, as some versions of the API answer a change
            return ""
        record_id = document.get("id") if isinstance(document, dict) else None
        if not isinstance(record_id, str) or not _ID.fullmatch(record_id):
            raise SourceError("the answer has no id of a task")
        return record_id


def _task(note: OutgoingNote, zone: tzinfo | None) -> dict[str, Json]:
    """Return the fields of the task of a note, except the subtype and the id of the call."""
    is_person = note.person_id.startswith(_PERSON)
    return {
        "Subject": subject_of(note)[:_LONGEST_SUBJECT],
        "Description": text_of(note),
        "WhoId": note.person_id if is_person else None,
        "WhatId": None if is_person else note.person_id or None,
        "Status": "Completed",
        "ActivityDate": datetime.fromtimestamp(note.started, tz=zone).date().isoformat(),
        "CallType": "Inbound",
    }
