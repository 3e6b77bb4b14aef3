"""The earlier contacts of a confirmed caller: contact notes, and the records of directories.

A contact note that was delivered to a CRM is a record there too. Only the note is shown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from callerid.lookup import Lookup
from callerid.person import Person
from galwad.notes.bodies import EarlierContact, EarlierContactsView
from galwad.notes.delivery import NoteOutbox
from galwad.notes.store import NoteStore

MOST_NOTES = 10
"""The most contact notes that are shown: the newest ones."""


class EarlierContacts:
    """Finds earlier contacts. `notes_to` is the directory that gets contact notes; "" if none."""

    def __init__(self, notes: NoteStore, outbox: NoteOutbox, lookup: Lookup, notes_to: str) -> None:
        self._notes = notes
        self._outbox = outbox
        self._lookup = lookup
        self._notes_to = notes_to

    async def find(self, person: Person, but: str) -> EarlierContactsView:
        """Return the person's earlier contacts, the newest first.

        The note of the call `but` is left out. Directories that do not answer are named in the
        result, and raise no error.
        """
        notes, others = await asyncio.gather(
            self._notes.earlier(person.entries, but, MOST_NOTES),
            self._lookup.contacts_of(person.entries),
        )
        records = {each.record_id for name, each in others.contacts if name == self._notes_to}
        ours = await self._delivered(records - {""})
        found = [
            *notes,
            *(
                EarlierContact(
                    directory=name,
                    started=each.time,
                    purpose=each.subject,
                    outcome=each.outcome,
                    notes=each.text,
                )
                for name, each in others.contacts
                if not (name == self._notes_to and each.record_id in ours)
            ),
        ]
        found.sort(key=lambda each: -each.started)
        return EarlierContactsView(contacts=found, failed=sorted(others.failed))

    async def _delivered(self, records: Collection[str]) -> set[str]:
        return await self._outbox.delivered_records(records) if records else set()
