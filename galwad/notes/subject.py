"""`NotesSubject`: contact notes, their drafts, their delivery, and earlier contacts."""

from __future__ import annotations

import time
from typing import Annotated, Protocol

from fastapi import Depends
from prometheus_client import CollectorRegistry, Counter, Gauge

from callerid.note import Note, NoteDestination
from galwad.archive.subject import RecordingIndexed
from galwad.calls.live_calls import DeskCall
from galwad.calls.subject import CallChange, CallerLookedUp, CallsDesk, CallsSubject
from galwad.directories.subject import DirectoriesSubject, open_note_destination
from galwad.host.host import Host, desk_of
from galwad.host.outbox import Backlog
from galwad.messages import Alarm
from galwad.notes.delivery import DeliveryOutcome, NoteDelivery, NoteForm, NoteOutbox
from galwad.notes.earlier import EarlierContacts
from galwad.notes.open_notes import OpenNotes
from galwad.notes.rules import OpenNote
from galwad.notes.store import NoteDrafts, NoteStore
from galwad.texts.subject import TextsSubject
from galwad.texts.text_lists import TextLists


class NoteMetrics:
    """The metrics of contact notes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._attempts = Counter(
            "galwad_desk_note_attempts",
            "Attempts to deliver contact notes, by their outcome",
            ["outcome"],
            registry=registry,
        )
        self._closed = Counter(
            "galwad_desk_notes_closed",
            "Contact notes that the desk closed because they were not saved: without any text, or"
            " with that of a draft",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("not_written", "unfinished"):
            self._closed.labels(outcome)
        self._undelivered = Gauge(
            "galwad_desk_notes_undelivered",
            "Versions of contact notes that are not delivered",
            ["state"],
            registry=registry,
        )
        self._backlog = Backlog(0, 0, None)
        Gauge(
            "galwad_desk_oldest_note_seconds",
            "Age of the oldest version that waits for its delivery; 0 if none waits",
            registry=registry,
        ).set_function(lambda: self._backlog.age_s(time.time()))

    def attempted(self, outcome: DeliveryOutcome) -> None:
        """Count an attempt to deliver a contact note."""
        self._attempts.labels(outcome.value).inc()

    def closed(self, note: Note) -> None:
        """Count a contact note that the desk closed because it was not saved."""
        self._closed.labels("unfinished" if note.unfinished else "not_written").inc()

    def backlog(self, backlog: Backlog) -> None:
        """Set the gauges of the contact notes that are not delivered."""
        self._undelivered.labels("waiting").set(backlog.waiting)
        self._undelivered.labels("refused").set(backlog.refused)
        self._backlog = backlog


class NotesSubject:
    """The contact notes of one desk."""

    def __init__(
        self, host: Host, texts: TextsSubject, directories: DirectoriesSubject, calls: CallsSubject
    ) -> None:
        settings, engine = host.settings, host.engine
        self._host = host
        self._calls = calls
        self._metrics = NoteMetrics(host.metrics.registry)
        self.contacts = NoteStore(engine)
        self.open = OpenNotes(
            self.contacts,
            NoteDrafts(engine),
            calls.live,
            host.streams,
            close_after=settings.contact_notes.close_after,
            may_close=lambda: host.switch.connected,
            on_closed=self._closed,
            on_round=self._round_closed,
        )
        destination = open_note_destination(settings.directories, settings.desk.time_zone)
        self.delivery = self._delivery_to(destination, texts.lists)
        notes_to = (each.name for each in settings.directories if each.takes_notes)
        self.earlier = EarlierContacts(
            self.contacts, self.delivery.outbox, directories.lookup, next(notes_to, "")
        )
        host.hear(CallChange, self._call_changed)
        host.hear(CallerLookedUp, self._looked_up)
        host.hear_and_wait(RecordingIndexed, self._recording_indexed)
        host.before_start(self._restore)
        host.loop(self.delivery.run)
        host.loop(self.open.run)

    def _delivery_to(self, destination: NoteDestination | None, texts: TextLists) -> NoteDelivery:
        settings = self._host.settings
        recordings = (
            f"{settings.desk.origin}/api/v1/recordings/"
            if settings.contact_notes.recording_link
            else ""
        )
        return NoteDelivery(
            NoteOutbox(self._host.engine),
            destination,
            NoteForm(
                destination.name if destination else "",
                texts.purpose_code,
                texts.no_note_words,
                recordings,
            ),
            on_outcome=self._metrics.attempted,
            on_refused=lambda call_id: self._host.alarm(Alarm("note.refused", call_id)),
            on_backlog=self._metrics.backlog,
        )

    async def _restore(self) -> None:
        for contact, call in await self.open.restore():
            self._calls.look_up(call, contact.person_id)

    def _call_changed(self, change: CallChange) -> None:
        before, after = change.before, change.after
        if after is None:
            return
        spawn = self._host.background.spawn
        if before is not None and before.state.callers < after.state.callers:
            spawn(self.contacts.forget_confirmation(after.call_id))
        if not after.wrapup and after.advisor is not None:
            known = before.advisor if before is not None else None
            new_caller = before is not None and before.pop.caller != after.pop.caller
            if known != after.advisor or new_caller:
                spawn(self._open_note(after))
        began = before.wrapup_began if before is not None else after.wrapup_began
        if after.wrapup_began is not None and after.wrapup_began != began:
            spawn(self.open.save_end(after.call_id, after.wrapup_began))

    async def _open_note(self, call: DeskCall) -> None:
        """Create or update the note of an answered call. Copy a saved note to the live call."""
        call = self._calls.live.get(call.call_id) or call
        if call.advisor is None:
            return
        caller = call.pop.caller
        await self.contacts.open_note(
            OpenNote(
                call.call_id,
                call.state.started,
                call.state.line,
                call.advisor_name or "",
                call.advisor.extension,
                str(caller.number or ""),
                caller.withheld,
                ended=call.wrapup_began or 0.0,
            )
        )
        note = await self.contacts.note(call.call_id)
        current = self._calls.live.get(call.call_id)
        if note is not None and current is not None and current.note is None:
            self._calls.live.note_saved(call.call_id, note)

    def _looked_up(self, answer: CallerLookedUp) -> None:
        self._host.background.spawn(self.save_entries(answer.call))

    async def save_entries(self, call: DeskCall) -> None:
        """Save all entries that the confirmed person of a call has in directories."""
        person = call.pop.confirmed_person
        if person is not None:
            await self.contacts.add_entries(call.call_id, person, time.time())
            self.delivery.wake()

    async def _recording_indexed(self, indexed: RecordingIndexed) -> None:
        """Open the contact note of an indexed call that had an advisor and is not a live call.

        If no note was saved before, add the call to the live calls, so that the advisor can write
        it.
        """
        sealed = indexed.sealed
        if not (sealed.advisor or sealed.extension) or self._calls.live.get(sealed.call_id):
            return
        contact = OpenNote(
            sealed.call_id,
            sealed.started,
            sealed.line,
            sealed.advisor,
            sealed.extension,
            sealed.number or "",
            ended=sealed.started + sealed.talk_us / 1_000_000,
        )
        await self.contacts.open_note(contact)
        if await self.contacts.note(sealed.call_id) is None:
            call = self._calls.live.add_without_note(contact)
            if call is not None:
                self._calls.look_up(call)

    def _closed(self, note: Note) -> None:
        self._metrics.closed(note)
        self.delivery.wake()

    def _round_closed(self, count: int) -> None:
        self._host.alarm(Alarm("notes.not_written", None, f"contact notes closed: {count}"))


class NotesDesk(CallsDesk, Protocol):
    """The parts of the desk that endpoints about contact notes use."""

    notes: NotesSubject


TheDesk = Annotated[NotesDesk, Depends(desk_of)]
