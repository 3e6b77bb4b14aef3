"""Endpoints of a live call about its contact note: the confirmed caller, the note and its draft.

A contact note is the advisor's note about a call, with the person who called. The earlier contacts
of this person are here too.
"""

from __future__ import annotations

import time
from math import ceil

from fastapi import APIRouter

from callerid.errors import ChoiceError, ContactError, DraftConflictError
from callerid.note import Note
from callerid.person import Person as DirectoryPerson
from galwad.calls.bodies import Confirmation, Pop
from galwad.calls.live_calls import DeskCall
from galwad.calls.subject import live_call, no_live_call, own_call
from galwad.host.errors import ApiError
from galwad.notes.bodies import (
    Contact,
    ContactDraft,
    ContactSaved,
    DraftSaved,
    EarlierContactsView,
    NoNote,
)
from galwad.notes.rules import NoteDraft
from galwad.notes.subject import NotesDesk, TheDesk
from galwad.people.access import Person
from galwad.people.sessions import Session

router = APIRouter(tags=["calls"])


@router.post("/calls/{call_id}/confirm")
async def confirm(call_id: str, body: Confirmation, desk: TheDesk, session: Person) -> Pop:
    """Store whether the advisor has confirmed that the caller is the chosen person.

    The confirmation is entered in the audit chain before any detail about the caller is sent. Only
    an advisor who talks in the call can confirm its caller: not while the call is on hold, not
    while the advisor talks in a call that was connected later, and not after the call's end. The
    answer that the caller is a new person, or not the chosen person, shows no details. The advisor
    can give this answer at other times too.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it. 403, another advisor
            has the call. 409, the call is not answered yet. 409, the advisor does not talk in this
            call (the reason is `not_talking`).
        ChoiceError: No person is chosen, no candidate has this id, or the caller has changed.
    """
    before = own_call(desk, session, call_id)
    if body.outcome.shows_details and not desk.calls.live.is_talked_in(before, session.user):
        raise ApiError(
            409,
            "you do not talk in this call",
            "confirm who is calling while you talk with them",
            reason="not_talking",
        )
    person = before.pop.confirm(body.outcome, body.person_id).confirmed_person
    person_id = person.person_id if person is not None else ""
    await desk.host.audit.append(
        "caller.confirmed",
        {"call_id": call_id, "outcome": body.outcome.value},
        {"actor": session.actor, "person_id": person_id},
    )
    await desk.notes.contacts.save_confirmation(call_id, person, body.outcome.value, time.time())
    # Check again whether this advisor has the call, because the call may have been transferred
    # while the audit entry was written.
    current = desk.calls.claim(own_call(desk, session, call_id), session.user)
    if current.state.callers != before.state.callers:
        await desk.notes.contacts.forget_confirmation(call_id)
        raise ChoiceError("the caller has changed: ask who is calling")
    confirmed = desk.calls.live.confirm(current, body.outcome, body.person_id)
    if confirmed.pop.confirmed_person != person:  # a directory has answered meanwhile
        await desk.notes.save_entries(confirmed)
    return confirmed.view(session.user)


@router.get("/calls/{call_id}/earlier")
async def earlier(call_id: str, desk: TheDesk, session: Person) -> EarlierContactsView:
    """Return the earlier contacts of the confirmed caller, the newest first.

    These are the contact notes of earlier calls, and the contacts in directories. The reading is
    entered in the audit chain before any contact is sent.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it. 403, another advisor
            has the call. 409, the call is not answered yet. 409, the caller is not confirmed.
        ChoiceError: The caller has changed.
    """
    person = _confirmed_person(own_call(desk, session, call_id))
    found = await desk.notes.earlier.find(person, call_id)
    ours = sum(not each.directory for each in found.contacts)
    await desk.host.audit.append(
        "contacts.read",
        {"call_id": call_id, "notes": ours, "records": len(found.contacts) - ours},
        {"actor": session.actor, "person_id": person.person_id},
    )
    # Check again, because the call may have been transferred or have a new caller meanwhile.
    if _confirmed_person(own_call(desk, session, call_id)).person_id != person.person_id:
        raise ChoiceError("the caller has changed: ask who is calling")
    return found


def _confirmed_person(call: DeskCall) -> DirectoryPerson:
    person = call.pop.confirmed_person
    if person is None:
        raise ApiError(409, "the caller is not confirmed", "confirm who is calling first")
    return person


@router.put("/calls/{call_id}/contact")
async def contact(call_id: str, body: Contact, desk: TheDesk, session: Person) -> ContactSaved:
    """Save the contact note of a call. During wrap-up, also remove the call from the live calls.

    A supervisor may also save the note, for example if the advisor has gone home.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it. 403, another advisor
            has the call. 409, the call is not answered yet.
        ContactError: The note is not complete or has a card number, its purpose is not in the list
            of purposes, or the call was never answered.
    """
    _claim_note(desk, session, call_id)
    if not desk.texts.lists.accepts_purpose(body.purpose):
        raise ContactError("the purpose is not in the list of purposes: choose one")
    return await _save(desk, call_id, Note(**body.model_dump()))


@router.put("/calls/{call_id}/contact/not-needed")
async def no_contact(call_id: str, body: NoNote, desk: TheDesk, session: Person) -> ContactSaved:
    """End the wrap-up of a call that needs no contact note, such as a wrong number.

    The reason is stored in place of the note. The same users as for `contact` may do this, but only
    in wrap-up: after the end of the call, or after its transfer to a party that is not a user.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it. 403, another advisor
            has the call. 409, the call is not answered yet. 409, the call has not ended. 409, the
            call has a contact note.
    """
    call = _claim_note(desk, session, call_id)
    if call.page_state(own=True) != "wrapup":
        raise ApiError(409, "the call has not ended", "wait for its end, or write the contact note")
    if call.note is not None:
        raise ApiError(409, "the call has a contact note", "change and save that note")
    return await _save(desk, call_id, Note.not_needed(body.reason))


@router.put("/calls/{call_id}/contact/draft")
async def draft(call_id: str, body: ContactDraft, desk: TheDesk, session: Person) -> DraftSaved:
    """Store what the user has typed into the contact note, so that it cannot be lost.

    The same users as for `contact` may do this. If a PBX answered the call for a group, the user
    does not become its advisor.

    Raises:
        ApiError: 404, no live call has this id, or the user may not see it. 403, another advisor
            has the call. 409, another window of this user has changed the draft or saved the note
            (the reason is `draft_conflict`), or the call is not answered yet. 429, too many drafts.
        ContactError: A field has a card number, or the call was never answered.
    """
    if not session.user.supervises:
        own_call(desk, session, call_id)
    live_call(desk, session, call_id)
    wait = ceil(desk.notes.open.limit.take(session.user.name))
    if wait:
        raise ApiError(429, "too many drafts", f"try again in {wait} s", retry_after=wait)
    note = Note.of(body.model_dump())
    typed = NoteDraft(call_id, session.user.name, body.window, body.edit, note, body.version)
    try:
        saved = await desk.notes.open.save_draft(typed)
    except DraftConflictError as error:
        hint = "read the call again"
        raise ApiError(409, str(error), hint, reason="draft_conflict") from None
    if saved is None:
        raise no_live_call()
    return DraftSaved(call_id=call_id, version=saved.version)


def _claim_note(desk: NotesDesk, session: Session, call_id: str) -> DeskCall:
    """Return the call, if the user may write its contact note.

    If a PBX answered the call for the user's group, the user becomes its advisor.

    Raises:
        ApiError: 404, there is no such call, or the user may not see it. 403, another advisor has
            the call. 409, the call is not answered yet.
    """
    if not session.user.supervises:
        desk.calls.claim(own_call(desk, session, call_id), session.user)
    return live_call(desk, session, call_id)


async def _save(desk: NotesDesk, call_id: str, note: Note) -> ContactSaved:
    version = await desk.notes.open.save(call_id, note)
    desk.notes.delivery.wake()
    return ContactSaved(call_id=call_id, version=version)
