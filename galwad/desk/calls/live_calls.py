"""Live calls: the switch's state of each call, joined with its screen-pop, as immutable values.

`DeskCall` knows which users may see a call, and which parts of it. `LiveCalls` is the store; it is
changed only on the event loop and notifies a listener of every change. An answered call stays in
wrap-up until its contact note is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import msgspec

from callerid.contacts import Note, OpenContact
from callerid.lookup import LookupResult, LookupStatus
from callerid.number import CallerId, presented_caller
from callerid.screenpop import PopConfirmation, ScreenPop
from galwad.desk.auth.users import User
from galwad.desk.models.calls import Caller, Candidate, ContactView, Pop, PopState
from galwad.messages import CallerFacts, CallStatus, Party


def presented_by(facts: CallerFacts) -> CallerId:
    """Apply the number rules to the caller's identity as the switch reports it."""
    return presented_caller(
        facts.from_user, facts.from_host, facts.asserted, facts.privacy, trusted=facts.trusted
    )


@dataclass(frozen=True, slots=True)
class DeskCall:
    """One live call as the desk knows it now."""

    state: CallStatus
    pop: ScreenPop
    wrapup: bool = False
    note: Note | None = None
    recording_link: str | None = None
    transferred_by: Party | None = None
    """The advisor who transferred the call to a party without a page; the note is still theirs."""
    restored: bool = False
    """True if the call was rebuilt from an unwritten note.

    It is over unless the switch still reports it.
    """

    @property
    def call_id(self) -> str:
        """The call's id."""
        return self.state.call_id

    @property
    def advisor_name(self) -> str | None:
        """The user name of the advisor who answered; None if the call has none."""
        return (self.advisor.user or None) if self.advisor else None

    @property
    def advisor(self) -> Party | None:
        """The party that is responsible for the call; None while no phone has answered.

        This is the advisor who transferred the call, if there is one, otherwise the party that
        answered.
        """
        return self.transferred_by or self.state.advisor

    def page_state(self, *, own: bool) -> PopState:
        """Return the state that a page shows: "wrapup" for an advisor who transferred the call."""
        sent_on = own and self.transferred_by is not None
        return "wrapup" if self.wrapup or sent_on else self.state.state

    def is_handled_by(self, user: User) -> bool:
        """Return whether the call, or its contact note, is this user's to deal with.

        This is the advisor who answered or, if the PBX that answered did not name the advisor,
        every user in its group.
        """
        if self.advisor is None or (self.transferred_by is not None and self.note is not None):
            return False
        return _is_phone_of(self.advisor, user) or self.may_be_claimed_by(user)

    def may_be_claimed_by(self, user: User) -> bool:
        """Return whether this user may be the advisor, as the answering PBX did not name one."""
        return self.advisor_name is None and any(
            _is_phone_of(party, user) for party in self.state.group
        )

    def concerns(self, user: User) -> bool:
        """Return whether the call is this user's or rings at their phone.

        It also rings there while another advisor transfers it to them.
        """
        return self.is_handled_by(user) or any(
            _is_phone_of(party, user) for party in self.state.ringing
        )

    def is_talking(self, user: User) -> bool:
        """Return whether this user is talking in the call now, or is on hold in it."""
        return self.page_state(own=True) in {"answered", "held"} and self.is_handled_by(user)

    def visible(self, user: User) -> bool:
        """Return whether this user may see the call at all."""
        return user.role != "machine" and (user.supervises or self.concerns(user))

    def view(self, user: User) -> Pop:
        """Return the call as this user may see it; only the call's own advisor sees details."""
        state, pop = self.state, self.pop
        own, has = self.concerns(user), self.is_handled_by(user)
        number = pop.caller.number
        return Pop(
            call_id=state.call_id,
            line=state.line,
            state="ringing" if own and not has else self.page_state(own=own),
            since=state.since,
            started=state.started,
            advisor=self.advisor_name,
            extension=state.advisor.extension if state.advisor else None,
            mine=own,
            recording=state.recording,
            recording_since=state.recording_since,
            durable=state.durable,
            holders=list(state.holders),
            caller=Caller(
                status=pop.status.value,
                number_display=number.display if number is not None else None,
                candidates=_candidates(pop),
                chosen=pop.chosen,
                confirmed=pop.confirmed,
                outcome=pop.confirmation.value if pop.confirmation else None,
                details=pop.details if has else {},
            ),
            contact_saved=self.note is not None,
            contact=_note_view(self.note) if has else None,
            recording_link=self.recording_link,
        )


def _is_phone_of(party: Party, user: User) -> bool:
    return party.user == user.name if party.user else party.extension == user.extension


def _candidates(pop: ScreenPop) -> list[Candidate]:
    return [
        Candidate(
            person_id=candidate.person_id,
            name=candidate.name,
            language=candidate.language,
            shared_warning=candidate.shared_warning,
            kind=candidate.kind.value,
            main_line=candidate.main_line,
        )
        for candidate in pop.candidates
    ]


def _note_view(note: Note | None) -> ContactView | None:
    if note is None:
        return None
    return ContactView.model_validate(
        {name: getattr(note, name) for name in ContactView.model_fields}
    )


Listener = Callable[[DeskCall | None, DeskCall | None], None]


class LiveCalls:
    """The store of live calls; it calls `on_change(before, after)` for every change."""

    def __init__(self, on_change: Listener) -> None:
        self._calls: dict[str, DeskCall] = {}
        self._on_change = on_change

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, call_id: str) -> DeskCall | None:
        """Return the call with this id; None if it is not live."""
        return self._calls.get(call_id)

    def all(self) -> list[DeskCall]:
        """Return every call, the oldest first."""
        return sorted(self._calls.values(), key=lambda call: (call.state.started, call.call_id))

    def changed(self, state: CallStatus) -> DeskCall | None:
        """Apply the switch's newer state of a call.

        Return the call if its caller must be looked up, otherwise None. An older version, or a
        state of a call in wrap-up, is ignored.
        """
        before = self._calls.get(state.call_id)
        if before is None:
            call = DeskCall(state, ScreenPop(state.call_id, presented_by(state.caller)))
            self._put(call)
            return call
        if before.restored:
            caller = ScreenPop(state.call_id, presented_by(state.caller))
            before = replace(before, pop=caller, wrapup=False)
        elif state.version < before.state.version or before.wrapup:
            return None
        restored, pop, transferred_by = before.restored, before.pop, None
        if (
            before.advisor_name is not None
            and state.advisor
            and state.advisor.user != before.advisor_name
        ):
            if state.advisor.user:
                # Another advisor has the call now, so they must confirm the caller's details again.
                pop = replace(pop, confirmation=None)
            elif state.group:  # `claim` was called, but the switch does not know of it yet
                state = msgspec.structs.replace(state, advisor=before.advisor, group=())
            else:
                transferred_by = before.advisor
        call = self._put(
            replace(before, state=state, pop=pop, transferred_by=transferred_by, restored=False)
        )
        return call if restored else None

    def snapshot(self, states: Iterable[CallStatus], now: float) -> list[DeskCall]:
        """Apply the snapshot of a switch that has (re)connected.

        Calls that it does not list are ended. Return the calls whose callers must be looked up.
        """
        states = tuple(states)
        known = {state.call_id for state in states}
        for call in self.all():
            if call.call_id not in known and not call.wrapup:
                self.ended(call.call_id, now, answered=call.state.advisor is not None)
        new = []
        for state in states:
            # A restarted switch counts its versions from the beginning.
            before = self._calls.get(state.call_id)
            if before is not None and not before.wrapup:
                stale = replace_version(before.state, 0)
                self._calls[state.call_id] = replace(before, state=stale)
            fresh = self.changed(state)
            if fresh is not None:
                new.append(fresh)
        return new

    def ended(self, call_id: str, ended: float, *, answered: bool) -> None:
        """End a call: remove it, or keep it in wrap-up until its note is saved."""
        call = self._calls.get(call_id)
        if call is None or call.wrapup:
            return
        if not answered or call.note is not None or call.state.advisor is None:
            self._remove(call)
            return
        state = ended_state(call.state, ended)
        self._put(replace(call, state=state, wrapup=True))

    def add_without_note(self, contact: OpenContact) -> None:
        """Add an answered call from before the restart whose note is still to be written."""
        if contact.call_id in self._calls:
            return
        state = CallStatus(
            call_id=contact.call_id,
            version=0,
            started=contact.started,
            since=contact.started,
            line=contact.line,
            called="",
            caller=CallerFacts("", ""),
            state="ended",
            advisor=Party(contact.extension, contact.advisor),
            recording="ended",
        )
        pop = ScreenPop(contact.call_id).with_result(LookupResult(LookupStatus.UNAVAILABLE))
        self._put(DeskCall(state, pop, wrapup=True, restored=True))

    def lookup_done(self, call_id: str, result: LookupResult) -> None:
        """Put the result of the lookup into the call's pop."""
        call = self._calls.get(call_id)
        if call is not None:
            self._put(replace(call, pop=call.pop.with_result(result)))

    def choose(self, call: DeskCall, person_id: str) -> DeskCall:
        """Record which candidate the advisor chose.

        Raises:
            ChoiceError: The choice is not possible.
        """
        return self._put(replace(call, pop=call.pop.choose(person_id)))

    def claim(self, call: DeskCall, advisor: Party) -> DeskCall:
        """Record which advisor behind a PBX answered; the pops of the others in the group close."""
        state = msgspec.structs.replace(call.state, advisor=advisor, group=())
        return self._put(replace(call, state=state))

    def confirm(
        self, call: DeskCall, confirmation: PopConfirmation, person_id: str | None
    ) -> DeskCall:
        """Record the advisor's answer to whether the caller's details are confirmed.

        Raises:
            ChoiceError: The confirmation is not possible.
        """
        return self._put(replace(call, pop=call.pop.confirm(confirmation, person_id)))

    def note_saved(self, call_id: str, note: Note) -> None:
        """Record that the contact note is saved, and remove the call if it is in wrap-up."""
        call = self._calls.get(call_id)
        if call is None:
            return
        if call.wrapup:
            self._remove(call)
        else:
            self._put(replace(call, note=note))

    def set_recording_link(self, call_id: str, link: str) -> None:
        """Record the link at which the call's recording can be fetched."""
        call = self._calls.get(call_id)
        if call is not None:
            self._put(replace(call, recording_link=link))

    def _put(self, call: DeskCall) -> DeskCall:
        before = self._calls.get(call.call_id)
        self._calls[call.call_id] = call
        self._on_change(before, call)
        return call

    def _remove(self, call: DeskCall) -> None:
        before = self._calls.pop(call.call_id)
        self._on_change(before, None)


def replace_version(state: CallStatus, version: int) -> CallStatus:
    """Return the same state with another version."""
    return msgspec.structs.replace(state, version=version)


def ended_state(state: CallStatus, ended: float) -> CallStatus:
    """Return the last state as ended: no phone rings and nothing is recorded."""
    return msgspec.structs.replace(
        state, state="ended", since=ended, ringing=(), recording="ended", holders=()
    )
