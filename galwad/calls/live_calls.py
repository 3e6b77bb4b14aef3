"""Live calls: the state of each call that the switch reports, and its screen-pop.

A `DeskCall` is an immutable value that decides which users may see which parts. `LiveCalls` stores
the calls. Calls change only on the event loop. Wrap-up is the time from the end of an answered
call, or from its transfer to a party that is not a user of the desk, until the contact note is
saved. The settings limit how long the advisor counts as busy with the wrap-up. After this limit,
the page shows the call as one line.

The forms of a telephone number for the page and for the index are here too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from typing import Final

import msgspec

from callerid.errors import NumberError
from callerid.lookup import LookupResult, LookupStatus
from callerid.note import Note, WrittenNote
from callerid.number import CallerId, PhoneNumber, presented_caller
from callerid.person import Person, RecordPage, record_id_in
from callerid.screenpop import PopConfirmation, ScreenPop
from galwad.calls.bodies import (
    Caller,
    DirectoryAnswer,
    OpenedCase,
    Pop,
    PopState,
    RecordLink,
)
from galwad.host.limits import Rate
from galwad.messages import CallerFacts, CallStatus, Party
from galwad.notes.bodies import DraftView
from galwad.notes.rules import NoteDraft, OpenNote
from galwad.people.user import User

SEARCHES: Final = Rate(20, 300.0)
"""The most searches by text of one user in 300 s, so that no user can copy a whole directory."""
DIALS: Final = Rate(30, 60.0)
"""The most numbers that one user can dial on the page in 60 s."""
ACTS: Final = Rate(120, 60.0)
"""The most acts of one user on the page in 60 s, such as to hold or to transfer calls."""


def presented_by(facts: CallerFacts) -> CallerId:
    """Return the phone number that the caller presents, or that the number is withheld."""
    return presented_caller(
        facts.from_user, facts.from_host, facts.asserted, facts.privacy, trusted=facts.trusted
    )


@dataclass(frozen=True, slots=True)
class DeskCall:
    """One live call in its present state: the switch's report, screen-pop and contact note."""

    state: CallStatus
    pop: ScreenPop
    wrapup: bool = False
    wrapup_began: float | None = None
    """The Unix time at which the wrap-up began; None without a wrap-up, or if it is not known."""
    note: Note | None = None
    drafts: tuple[NoteDraft, ...] = ()
    """The drafts of the contact note that are not saved, at most one of each user."""
    noted_name: str = ""
    """The name of the person whom the advisor confirmed before a restart of the desk, or ""."""
    recording_link: str | None = None
    cases: tuple[OpenedCase, ...] = ()
    transferred_by: Party | None = None
    """The advisor who transferred the call to a party that is not a user of the desk. This advisor
    still writes the contact note. None if there was no such transfer.
    """
    restored: bool = False
    """True if `LiveCalls.add_without_note` added this call, which is assumed to have ended. It
    becomes false if the switch reports the call.
    """
    record_pages: tuple[RecordPage, ...] = ()
    wrapup_limit: float = 0.0
    """The seconds for which an advisor counts as busy with the wrap-up; 0 if there is no limit."""
    connected_since: float = 0.0
    """The Unix time of the latest answer, end of a hold, or change of the advisor."""

    @property
    def call_id(self) -> str:
        """The id of this call."""
        return self.state.call_id

    @property
    def advisor_name(self) -> str | None:
        """The user name of the party in `advisor`; None if there is no party or user name."""
        return (self.advisor.user or None) if self.advisor else None

    @property
    def advisor(self) -> Party | None:
        """The advisor in `transferred_by`, or else the party that has the call after the answer.

        It is None before the answer. In an outgoing call, it is the called party.
        """
        return self.transferred_by or self.state.advisor

    def page_state(self, *, own: bool) -> PopState:
        """Return the state as a page shows it. `own` is true if the call concerns the page's user.

        For `own`, a call that was transferred to a party that is not a user of the desk is
        "wrapup", even while it continues.
        """
        sent_on = own and self.transferred_by is not None
        return "wrapup" if self.wrapup or sent_on else self.state.state

    def is_handled_by(self, user: User) -> bool:
        """Return whether this user is responsible for the call or for its contact note.

        The `advisor` is responsible. After a transfer to a party that is not a user of the desk,
        this ends when the note is saved. If a PBX answered for a group and named no advisor, each
        user of the group is responsible.
        """
        if self.advisor is None or (self.transferred_by is not None and self.has_saved_note):
            return False
        return _is_phone_of(self.advisor, user) or self.may_be_claimed_by(user)

    def may_be_claimed_by(self, user: User) -> bool:
        """Return whether a PBX answered for this user's group and did not name an advisor."""
        return self.advisor_name is None and any(
            _is_phone_of(party, user) for party in self.state.group
        )

    def concerns(self, user: User) -> bool:
        """Return whether this user is responsible, or the call or a transfer rings their phone."""
        return self.is_handled_by(user) or any(
            _is_phone_of(party, user) for party in self.state.ringing
        )

    def is_placed_by(self, user: User) -> bool:
        """Return whether this user's phone placed the call, and it is answered or on hold."""
        state = self.state
        return (
            state.outgoing
            and self.page_state(own=False) in {"answered", "held"}
            and _is_phone_of(Party(state.caller.from_user), user)
        )

    def takes_part(self, user: User) -> bool:
        """Return whether the call concerns the user, or is recorded and placed by the user."""
        return self.concerns(user) or (self.state.recorded and self.is_placed_by(user))

    def is_talking(self, user: User) -> bool:
        """Return whether the call is answered or on hold, and this user has it or placed it.

        A call that the user placed must also be recorded.
        """
        if self.is_handled_by(user):
            return self.page_state(own=True) in {"answered", "held"}
        return self.state.recorded and self.is_placed_by(user)

    def is_heard_by(self, user: User) -> bool:
        """Return whether this user certainly talks in the call now, and the call is not on hold.

        If a PBX answered for a group, the result is false, because it is not known which member
        talks.
        """
        if self.is_placed_by(user):
            return self.page_state(own=False) == "answered"
        known = self.advisor is not None and _is_phone_of(self.advisor, user)
        return known and self.page_state(own=True) == "answered"

    @property
    def has_saved_note(self) -> bool:
        """True if the contact note is saved, and no user has a draft of it that is not saved."""
        return self.note is not None and not self.drafts

    @property
    def wrapup_until(self) -> float | None:
        """The Unix time until which the advisor counts as busy; None without wrap-up or limit.

        The call stays in wrap-up until the contact note is saved.
        """
        if not self.wrapup_limit or not (self.wrapup or self.transferred_by):
            return None
        # If the call ended before a restart of the desk, the time of its end may not be known. The
        # limit then counts from the start of the call.
        began = self.state.started if self.wrapup_began is None else self.wrapup_began
        return began + self.wrapup_limit

    def is_wrapping_up(self, user: User, now: float) -> bool:
        """Return whether this user counts as busy with the wrap-up at the Unix time `now`."""
        if self.page_state(own=True) != "wrapup" or not self.is_handled_by(user):
            return False
        return self.wrapup_until is None or now < self.wrapup_until

    def draft_of(self, user: User) -> NoteDraft | None:
        """Return this user's draft of the contact note that is not saved; None if there is none."""
        return next((draft for draft in self.drafts if draft.author == user.name), None)

    def visible(self, user: User) -> bool:
        """Return whether this user may see any part of the call."""
        return user.role != "machine" and (user.supervises or self.takes_part(user))

    def view(self, user: User) -> Pop:
        """Return the call with only those facts that this user may see.

        Only users who are responsible for the call get the contact note, and the confirmed
        caller's name, details and pages. Each of them gets only their own draft. A user who has
        placed the call gets the number that was called, and nothing about a caller.
        """
        state, pop = self.state, self.pop
        concerned, has = self.concerns(user), self.is_handled_by(user)
        own = self.takes_part(user)
        placed = own and not concerned
        number = pop.caller.number
        page_state = "ringing" if concerned and not has else self.page_state(own=concerned)
        return Pop(
            call_id=state.call_id,
            line=state.line,
            state=page_state,
            since=state.since,
            started=state.started,
            advisor=self.advisor_name,
            extension=state.advisor.extension if state.advisor else None,
            mine=own,
            recording=state.recording,
            recording_since=state.recording_since,
            durable=state.durable,
            holders=list(state.holders),
            called=shown_number(state.called) if placed else None,
            talking_since=self.connected_since if self.is_heard_by(user) else None,
            caller=Caller(status=LookupStatus.NOT_FOUND, number_display=None, candidates=[])
            if placed
            else Caller(
                status=pop.status,
                number_display=number.display if number is not None else None,
                candidates=pop.candidates,
                chosen=pop.chosen,
                confirmed=pop.confirmed,
                outcome=pop.confirmation,
                details=pop.details if has else {},
                position=state.callers,
                directories=[
                    DirectoryAnswer(name=name, answer=answer) for name, answer in pop.result.answers
                ],
                searched=bool(pop.searched),
                pages=self._links() if has else [],
                name=self._confirmed_name() if has else None,
            ),
            contact_saved=self.note is not None,
            contact=self.note if has else None,
            draft=_draft_view(self.draft_of(user)) if has else None,
            wrap_up_until=self.wrapup_until if page_state == "wrapup" else None,
            recording_link=self.recording_link,
            cases=self.cases if has or placed else (),
            acts=self._acts(user, page_state),
            transferring=state.transferring if has else "",
            transfers_begun=state.transfers_begun if has else 0,
            transfer_failed=state.transfer_failed if has else 0,
        )

    def _acts(self, user: User, page_state: PopState) -> dict[str, str]:
        """Return the acts that the page offers, each with the reason that prevents it, or ""."""
        if page_state == "ringing" and self.concerns(user):
            able = any(_is_phone_of(party, user) for party in self.state.answerable)
            return {"answer": "" if able else "answer_on_phone"}
        if page_state not in {"answered", "held"} or not self.is_handled_by(user):
            return {}
        return {each.act: each.refused for each in self.state.acts}

    def _confirmed_name(self) -> str | None:
        person = self.pop.confirmed_person
        return (person.name if person is not None else self.noted_name) or None

    def _links(self) -> list[RecordLink]:
        person = self.pop.chosen_person
        return [
            RecordLink(
                directory=page.directory,
                url=url,
                record_id=record_id_in(page.directory, person.entries),
            )
            for page in self.record_pages
            if person is not None
            and (self.pop.confirmed or page.before_confirmation)
            and (url := page.url_for(person)) is not None
        ]


def shown_number(number: str) -> str:
    """Return a number as the page shows it; the text unchanged if it is not a phone number."""
    try:
        return PhoneNumber.parse(number).display
    except NumberError:
        return number


def indexed_number(text: str | None) -> str | None:
    """Return a number as the index stores it: in E.164, otherwise unchanged; None if empty."""
    if not text:
        return None
    try:
        return PhoneNumber.parse(text).bare
    except NumberError:
        return text


def _has_new_caller(before: CallStatus, after: CallStatus) -> bool:
    return before.callers != after.callers or before.caller != after.caller


def _is_phone_of(party: Party, user: User) -> bool:
    return party.user == user.name if party.user else party.extension == user.extension


def _draft_view(draft: NoteDraft | None) -> DraftView | None:
    if draft is None:
        return None
    written = {each.name: getattr(draft.note, each.name) for each in fields(WrittenNote)}
    return DraftView(**written, version=draft.version, window=draft.window)


Listener = Callable[[DeskCall | None, DeskCall | None], None]


class LiveCalls:
    """The store of live calls. Each change, except a change of a draft, calls `on_change`.

    `on_change` receives the call as it was before (None for a new call), and as it is after the
    change (None for a removed call). `wrapup_limit` is in seconds; 0 means no limit.
    """

    def __init__(
        self,
        on_change: Listener,
        record_pages: Iterable[RecordPage] = (),
        *,
        wrapup_limit: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._calls: dict[str, DeskCall] = {}
        self._on_change = on_change
        self._record_pages = tuple(record_pages)
        self._wrapup_limit = wrapup_limit
        self._clock = clock

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, call_id: str) -> DeskCall | None:
        """Return the live call with this id; None if there is no such call."""
        return self._calls.get(call_id)

    def all(self) -> list[DeskCall]:
        """Return all calls in the store, sorted by their start, the earliest first."""
        return sorted(self._calls.values(), key=lambda call: (call.state.started, call.call_id))

    def is_wrapping_up(self, user: User) -> bool:
        """Return whether this user is now in wrap-up for any call (`DeskCall.is_wrapping_up`)."""
        now = self._clock()
        return any(call.is_wrapping_up(user, now) for call in self._calls.values())

    def is_talked_in(self, call: DeskCall, user: User) -> bool:
        """Return whether this user talks in this call, and in no call that was connected later.

        If a PBX answered the call for a group, the result is true for each member who does not
        certainly talk in a later call.
        """
        if call.page_state(own=True) != "answered" or not call.is_handled_by(user):
            return False
        return not any(
            other.call_id != call.call_id
            and other.connected_since > call.connected_since
            and other.is_heard_by(user)
            for other in self._calls.values()
        )

    def changed(self, state: CallStatus) -> DeskCall | None:
        """Store the switch's report of a call; return the call if its caller must be looked up.

        A new caller gets a new screen-pop without a confirmation. A new advisor must confirm the
        caller again. A report that is older than the stored one, or about a call in wrap-up, is
        ignored, unless the call is `restored`.
        """
        before = self._calls.get(state.call_id)
        if before is None:
            pop = ScreenPop(state.call_id, presented_by(state.caller))
            call = DeskCall(
                state,
                pop,
                record_pages=self._record_pages,
                wrapup_limit=self._wrapup_limit,
                connected_since=state.since,
            )
            self._put(call)
            return call
        if before.restored:
            caller = ScreenPop(state.call_id, presented_by(state.caller))
            before = replace(before, pop=caller, wrapup=False)
        elif state.version < before.state.version or before.wrapup:
            return None
        restored, pop, transferred_by = before.restored, before.pop, None
        name = before.noted_name
        new_caller = not restored and _has_new_caller(before.state, state)
        if new_caller:
            pop, name = ScreenPop(state.call_id, presented_by(state.caller)), ""
        if (
            before.advisor_name is not None
            and state.advisor
            and state.advisor.user != before.advisor_name
        ):
            if state.advisor.user:
                # The new advisor has not yet confirmed the caller's identity.
                pop = replace(pop, confirmation=None)
            # An advisor has claimed the call, but `state` does not name this advisor yet.
            elif state.group:
                state = msgspec.structs.replace(state, advisor=before.advisor, group=())
            else:
                transferred_by = before.advisor
        reconnected = state.state == "answered" and (
            before.state.state != "answered" or before.state.advisor != state.advisor
        )
        began = None
        if transferred_by is not None:
            began = self._clock() if before.wrapup_began is None else before.wrapup_began
        call = self._put(
            replace(
                before,
                state=state,
                pop=pop,
                transferred_by=transferred_by,
                restored=False,
                wrapup_began=began,
                noted_name=name,
                connected_since=self._clock() if reconnected else before.connected_since,
            )
        )
        return call if restored or new_caller else None

    def snapshot(self, states: Iterable[CallStatus], now: float) -> list[DeskCall]:
        """Store the states of all live calls; return the calls whose callers must be looked up.

        A stored call in progress that has no state in `states` ends at `now` (Unix seconds).
        """
        states = tuple(states)
        known = {state.call_id for state in states}
        for call in self.all():
            if call.call_id not in known and not call.wrapup:
                self.ended(call.call_id, now, answered=call.state.advisor is not None)
        new = []
        for state in states:
            # After a restart, the switch numbers the versions of a call from the beginning again.
            # With a stored version above 0, `changed` would ignore the new state.
            before = self._calls.get(state.call_id)
            if before is not None and not before.wrapup:
                stale = replace_version(before.state, 0)
                self._calls[state.call_id] = replace(before, state=stale)
            fresh = self.changed(state)
            if fresh is not None:
                new.append(fresh)
        return new

    def ended(self, call_id: str, ended: float, *, answered: bool) -> None:
        """End a call at the Unix time `ended`.

        An answered call with an advisor and without a saved note stays, in wrap-up, until the note
        is saved. Any other call is removed. If a call is already in wrap-up, but the time of its
        end is not known, the call gets this time.
        """
        call = self._calls.get(call_id)
        if call is None or (call.wrapup and call.wrapup_began is not None):
            return
        if not call.wrapup and (not answered or call.has_saved_note or call.state.advisor is None):
            self._remove(call)
            return
        state = ended_state(call.state, ended)
        began = ended if call.wrapup_began is None else call.wrapup_began
        self._put(replace(call, state=state, wrapup=True, wrapup_began=began))

    def add_without_note(
        self, open_note: OpenNote, note: Note | None = None, drafts: Iterable[NoteDraft] = ()
    ) -> DeskCall | None:
        """Add a call that is assumed to have ended, so that its contact note can still be written.

        The call was answered before a restart, or while the desk did not run. `note` is the saved
        note; None if there is none. Return the call if its caller must be looked up. Return None if
        the caller's number is not known, or the call is already stored.
        """
        if open_note.call_id in self._calls:
            return None
        host = "anonymous.invalid" if open_note.withheld else ""
        facts = CallerFacts(open_note.number, host)
        state = CallStatus(
            call_id=open_note.call_id,
            version=0,
            started=open_note.started,
            since=open_note.ended or open_note.started,
            line=open_note.line,
            called="",
            caller=facts,
            state="ended",
            advisor=Party(open_note.extension, open_note.advisor),
            recording="ended",
        )
        pop = ScreenPop(open_note.call_id, presented_by(facts))
        if not (open_note.number or open_note.withheld):
            pop = pop.with_result(LookupResult(LookupStatus.UNAVAILABLE))
        call = self._put(
            DeskCall(
                state,
                pop,
                wrapup=True,
                wrapup_began=open_note.ended or None,
                note=note,
                drafts=tuple(drafts),
                noted_name=open_note.name,
                restored=True,
                record_pages=self._record_pages,
                wrapup_limit=self._wrapup_limit,
            )
        )
        return call if open_note.number or open_note.withheld else None

    def lookup_result(self, looked_up: DeskCall, result: LookupResult) -> DeskCall | None:
        """Store a lookup's result; return the call, or None if it is gone or has another caller."""
        call = self._calls.get(looked_up.call_id)
        if call is None or _has_new_caller(looked_up.state, call.state):
            return None
        return self._put(replace(call, pop=call.pop.with_result(result)))

    def searched(self, call: DeskCall, people: tuple[Person, ...]) -> DeskCall:
        """Store the people whom a search has found. Raises `ChoiceError` after a confirmation."""
        return self._put(replace(call, pop=call.pop.with_searched(people)))

    def choose(self, call: DeskCall, person_id: str) -> DeskCall:
        """Store the advisor's choice. Raises `ChoiceError` if no candidate has this id."""
        return self._put(replace(call, pop=call.pop.choose(person_id)))

    def claim(self, call: DeskCall, advisor: Party) -> DeskCall:
        """Give a call that a PBX answered for a group to one advisor; return the changed call."""
        state = msgspec.structs.replace(call.state, advisor=advisor, group=())
        return self._put(replace(call, state=state))

    def confirm(
        self, call: DeskCall, confirmation: PopConfirmation, person_id: str | None
    ) -> DeskCall:
        """Store the advisor's answer about the caller's identity; return the changed call.

        If `person_id` is None, the answer is about the chosen person. Raises `ChoiceError` if the
        answer needs a person and none is chosen, or if no candidate has this id.
        """
        pop = call.pop.confirm(confirmation, person_id)
        return self._put(replace(call, pop=pop, noted_name=""))

    def draft_saved(self, draft: NoteDraft) -> DeskCall | None:
        """Store a draft, or remove it if its version is 0; return the call, or None if it is gone.

        `OpenNotes` calls this in the order of the database's transactions. The listener is not
        notified, because only the author sees the change.
        """
        call = self._calls.get(draft.call_id)
        if call is None:
            return None
        others = tuple(each for each in call.drafts if each.author != draft.author)
        call = replace(call, drafts=(*others, draft) if draft.version else others)
        self._calls[call.call_id] = call
        return call

    def note_saved(self, call_id: str, note: Note) -> None:
        """Store the contact note that was saved for a call. Remove the call if it is in wrap-up."""
        call = self._calls.get(call_id)
        if call is None:
            return
        if call.wrapup:
            self._remove(call)
        else:
            self._put(replace(call, note=note, drafts=(), noted_name=""))

    def set_recording_link(self, call_id: str, link: str) -> None:
        """Store the API path of the call's recording."""
        call = self._calls.get(call_id)
        if call is not None:
            self._put(replace(call, recording_link=link))

    def case_opened(self, call_id: str, case: OpenedCase) -> None:
        """Store that a case was opened for a call. Repeating this changes nothing."""
        call = self._calls.get(call_id)
        if call is not None and case not in call.cases:
            self._put(replace(call, cases=(*call.cases, case)))

    def _put(self, call: DeskCall) -> DeskCall:
        before = self._calls.get(call.call_id)
        self._calls[call.call_id] = call
        self._on_change(before, call)
        return call

    def _remove(self, call: DeskCall) -> None:
        before = self._calls.pop(call.call_id)
        self._on_change(before, None)


def replace_version(state: CallStatus, version: int) -> CallStatus:
    """Return a copy of `state` with this version number."""
    return msgspec.structs.replace(state, version=version)


def ended_state(state: CallStatus, ended: float) -> CallStatus:
    """Return a copy of `state` that ended at this Unix time, without ringing phones or pauses."""
    return msgspec.structs.replace(
        state, state="ended", since=ended, ringing=(), recording="ended", holders=()
    )
