"""The contact notes that are not saved yet: their drafts, and how they are closed.

A note that is not saved is closed some time after its call. A draft then becomes the note, so that
nothing that was typed is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from callerid.note import Note
from galwad.calls.live_calls import DeskCall, LiveCalls
from galwad.host.limits import Rate, Window
from galwad.host.streams import Streams
from galwad.notes.rules import NoteDraft, OpenNote
from galwad.notes.store import NoteDrafts, NoteStore

log = structlog.get_logger()
DRAFTS: Final = Rate(120, 60.0)
"""The most saves of drafts by one user in 60 s. A page saves a draft about once a second."""
_CHECK_S: Final = 60.0
_TYPING_S: Final = 600.0
"""A note is not closed for this many seconds after a draft was saved: the user may still type."""


class OpenNotes:
    """The open notes of one desk.

    A note is closed after `close_after` seconds of wrap-up (0: never). No note is closed while
    `may_close` is false, because the desk then does not know the calls in progress. `on_closed`
    receives each closed note. After a round that closed notes, `on_round` receives their number.
    `clock` returns the Unix time.
    """

    def __init__(
        self,
        store: NoteStore,
        drafts: NoteDrafts,
        calls: LiveCalls,
        streams: Streams,
        *,
        close_after: float,
        may_close: Callable[[], bool],
        on_closed: Callable[[Note], None],
        on_round: Callable[[int], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.limit = Window[str](DRAFTS)
        self._drafts = drafts
        self._calls = calls
        self._streams = streams
        self._close_after = close_after
        self._may_close = may_close
        self._on_closed = on_closed
        self._on_round = on_round
        self.clock = clock
        # Held while a note or a draft is changed in the database and then in the live calls.
        self._changing = asyncio.Lock()
        self._ends: dict[str, float] = {}
        """The Unix times at which wrap-ups began, by call id, until the times are saved."""
        self._saving_ends = asyncio.Lock()

    async def restore(self) -> list[tuple[OpenNote, DeskCall]]:
        """Add the calls with open notes to the live calls, with their drafts.

        Return the notes and calls whose callers must now be looked up.
        """
        drafts: dict[str, list[NoteDraft]] = {}
        for draft in await self._drafts.all():
            drafts.setdefault(draft.call_id, []).append(draft)
        restored = []
        for open_note in await self.store.open_notes():
            found = drafts.get(open_note.call_id, [])
            note = await self.store.note(open_note.call_id) if found else None
            call = self._calls.add_without_note(open_note, note, found)
            if call is not None:
                restored.append((open_note, call))
        return restored

    async def save_end(self, call_id: str, ended: float) -> None:
        """Save when the wrap-up of a call began (Unix seconds).

        Many calls may end at once, so all times that are not saved yet are saved together. Raises
        `SQLAlchemyError` if the database cannot be written.
        """
        self._ends[call_id] = ended
        async with self._saving_ends:
            if call_id not in self._ends:
                return  # the task that had the lock before has saved it
            ends, self._ends = self._ends, {}
            try:
                await self.store.save_ends(ends)
            except BaseException:
                self._ends = ends | self._ends
                raise

    async def save_draft(self, draft: NoteDraft) -> NoteDraft | None:
        """Save a draft, and show it in the other windows of its author.

        Return the draft with its new version; None if the call is not a live call any more.

        Raises:
            ContactError: A field has a card number, or the call was never answered.
            DraftConflictError: Another window has changed the draft, or the note was saved.
        """
        async with self._changing:
            saved = await self._drafts.save(draft, self.clock())
            if self._calls.draft_saved(saved) is None:
                await self._drafts.discard(saved)
                return None
        self._streams.refresh(saved.author, saved.call_id)
        return saved

    async def save(self, call_id: str, note: Note) -> int:
        """Save a call's note, remove its drafts, and return its version. Raises `ContactError`."""
        async with self._changing:
            version = await self.store.save(call_id, note, self.clock())
            self._calls.note_saved(call_id, note)
        return version

    async def run(self) -> None:
        """Close due notes each `_CHECK_S` seconds until cancelled; return if `close_after` is 0."""
        while self._close_after:
            await asyncio.sleep(_CHECK_S)
            try:
                await self.close_due()
            except SQLAlchemyError as error:
                log.warning("note.close_failed", reason=type(error).__name__)

    async def close_due(self) -> int:
        """Close the notes that were not saved in time, and return their number."""
        if not self._may_close():
            return 0
        closed = 0
        for open_note in await self.store.open_notes():
            note = await self._close(open_note)
            if note is not None:
                log.info("note.closed", call_id=open_note.call_id, unfinished=note.unfinished)
                self._on_closed(note)
                closed += 1
        if closed:
            self._on_round(closed)
        return closed

    async def _close(self, open_note: OpenNote) -> Note | None:
        """Close a note if it is due, and return it."""
        async with self._changing:
            if not self._is_due(open_note):
                return None
            note = await self.store.close(open_note.call_id, self.clock())
            if note is not None:
                self._calls.note_saved(open_note.call_id, note)
            return note

    def _is_due(self, open_note: OpenNote) -> bool:
        now = self.clock()
        if now - (open_note.ended or open_note.started) < self._close_after:
            return False
        call = self._calls.get(open_note.call_id)
        if call is None:
            return True
        # A draft with a time in the future was saved before the clock was set back: it is not new.
        typing = any(0 <= now - draft.saved < _TYPING_S for draft in call.drafts)
        return call.wrapup and not typing
