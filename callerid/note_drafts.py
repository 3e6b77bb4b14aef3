"""Drafts of contact notes: what an advisor has typed and not saved yet.

A draft belongs to the user who typed it, its author. It is stored until the call's note is saved.
The page of one browser window saves its draft again and again. If a draft was changed in another
window since, the save is refused, so that no window overwrites a text that its user has not seen.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from callerid.contact_tables import contacts, drafts
from callerid.errors import ContactError, DraftConflictError
from callerid.note import NOTE_FIELDS, Note


@dataclass(frozen=True, slots=True)
class NoteDraft:
    """A draft of a contact note. Its note may lack any field."""

    call_id: str
    author: str
    """The name of the user who typed the draft."""
    window: str
    """A random name of the browser window in which the draft was typed last."""
    edit: int
    """The number of the save in this window. An earlier save never replaces a later one."""
    note: Note
    version: int = 0
    """Increases with each change of the draft. 0 means that there is no draft."""
    saved: float = 0.0
    """The time at which the draft was saved, in seconds since 1970."""


class NoteDrafts:
    """The drafts in the database. Every method runs as one database transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    async def save(self, draft: NoteDraft, now: float) -> NoteDraft:
        """Save a draft, and return it with its new version.

        `draft.version` is the newest version that its window has seen. A draft that has the same
        fields as the saved note is removed instead, and its version is 0. `now` is in seconds since
        1970.

        Raises:
            ContactError: A field has a card number, or the call was never answered.
            DraftConflictError: Another window has changed the draft since `draft.version`.
        """
        draft.note.check_cards()
        async with self._writer.begin() as connection:
            columns = (contacts.c.version, *(contacts.c[name] for name in NOTE_FIELDS))
            found = await connection.execute(
                select(*columns).where(contacts.c.call_id == draft.call_id)
            )
            saved = found.first()
            if saved is None:
                raise ContactError("there is no answered call with this id")
            current = await self._find(connection, draft)
            known = 0 if current is None else current.version
            if current is not None and current.window == draft.window:
                if draft.edit <= current.edit:
                    return current
            elif draft.version != known:
                raise DraftConflictError("the draft was changed in another window: compare both")
            await connection.execute(delete(drafts).where(_is(draft)))
            if saved.version and Note(*saved[1:]) == draft.note:
                return replace(draft, version=0)
            # A version is never used twice, even if the draft was removed in between.
            newer = replace(draft, version=max(known + 1, int(now * 1000)), saved=now)
            await connection.execute(insert(drafts).values(_columns_of(newer)))
            return newer

    async def discard(self, draft: NoteDraft) -> None:
        """Remove a draft, if it still has this version."""
        async with self._writer.begin() as connection:
            await connection.execute(
                delete(drafts).where(_is(draft), drafts.c.version == draft.version)
            )

    async def all(self) -> list[NoteDraft]:
        """Return all drafts."""
        async with self._engine.connect() as connection:
            return [draft_of(row) for row in await connection.execute(select(drafts))]

    @staticmethod
    async def _find(connection: AsyncConnection, draft: NoteDraft) -> NoteDraft | None:
        row = (await connection.execute(select(drafts).where(_is(draft)))).first()
        return None if row is None else draft_of(row)


def draft_of(row: Row[Any]) -> NoteDraft:
    """Return the draft in a row of the table."""
    note = Note.of(json.loads(row.fields))
    return NoteDraft(row.call_id, row.author, row.window, row.edit, note, row.version, row.saved)


def unfinished_note(advisor: str, found: Collection[NoteDraft]) -> Note | None:
    """Return the note that drafts become if no note is saved; None if no draft has a text.

    The fields are those of the advisor's own draft, or else of the newest one. The texts of other
    users are added at the end of its notes, each with the name of its author.
    """
    written = sorted(
        (draft for draft in found if draft.note.texts),
        key=lambda draft: (draft.author != advisor, -draft.saved),
    )
    if not written:
        return None
    first, *others = written
    more = tuple(f"{draft.author}: {'; '.join(draft.note.texts)}" for draft in others)
    return replace(first.note.with_more(more), unfinished=True)


def _is(draft: NoteDraft) -> ColumnElement[bool]:
    return and_(drafts.c.call_id == draft.call_id, drafts.c.author == draft.author)


def _columns_of(draft: NoteDraft) -> dict[str, Any]:
    fields = json.dumps(asdict(draft.note), ensure_ascii=False, sort_keys=True)
    plain = ("call_id", "author", "window", "edit", "version", "saved")
    return {"fields": fields, **{name: getattr(draft, name) for name in plain}}
