"""Two calls through Galwad that a PBX joins by itself, so that they are one conversation.

`is_lost_fork` recognises another case: a PBX has rung several extensions for one caller.

An advisor at a PBX phone talks with a citizen: the first call. The advisor consults a colleague
through Galwad: the second call, which the PBX makes as a trunk. Then the advisor completes the
transfer at the PBX. Galwad sees no REFER and no Replaces. The PBX only names new parties: on the
first call the colleague, on the second call the citizen. It can send one of these names or both, in
any sequence.

The second call is recognised as a consultation when it begins: it comes from the trunk to which the
first call went, and its caller is the first call's advisor. Such a consultation is never recorded.
When the PBX sends one of the two new names, the first call goes on for both: it keeps its
recording, its pauses and its caller, and its new advisor is the colleague. The second call is no
longer shown, and the colleague's phone controls the recording of the first call.

If the second call was not recognised as a consultation, a name that fits leaves doubt, because two
people can have one number. The gate of the second call then shuts. If the second call leads
outside, the gate of each possible first call shuts too. A consultation that gets the name of
another caller is not joined. If it leads outside, the gate of the first call shuts, because the
name may be the citizen's in another form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from callerid.number import presented_caller
from galwad.messages import CallerFacts, Party
from galwad.switch.call.call_recording import CallRecording
from galwad.switch.call.clocks import Now
from galwad.switch.call.context import JoinState, LiveCall
from galwad.switch.call.transfers import class_of_far_end
from galwad.switch.edge.admission import Admission
from galwad.switch.edge.callers import (
    is_same_caller,
    is_withheld,
    numbers_of,
    spelled,
    spelled_number,
)
from galwad.switch.edge.routing import Router
from recording.policy import DestinationClass
from telephony.b2bua import EndCause
from telephony.b2bua.events import Side
from telephony.sip.events import Address


class PbxJoins:
    """Recognises that a PBX has joined this call with another live call, and carries this out.

    The call keeps a `JoinState`, and makes an object of this class for each use (see
    `CallTransfers`).
    """

    def __init__(
        self, call: LiveCall, router: Router, live_calls: Callable[[], Iterable[LiveCall]]
    ) -> None:
        """Continue with the call's `join_state`. `live_calls` returns all live calls."""
        self._call = call
        self._state = call.join_state
        self._router = router
        self._live_calls = live_calls

    def _find(self, call_id: str) -> LiveCall | None:
        return next((call for call in self._live_calls() if call.call_id == call_id), None)

    def advisor_named(self, name: str, now: Now) -> bool:
        """Handle a name that the PBX gives to the party at this call's advisor's end.

        Return True if the name is that of the colleague in an answered consultation of this call.
        The two calls are then joined, and the name needs no further handling. If no consultation of
        this call has the name, each call joined with this call is separated.
        """
        kept_calls = self._kept_by(self._call)
        for other in self._others_from(self._call):
            if spelled(name) not in _far_names(other):
                continue
            if other.join_state.consults == self._call.call_id:
                return self._join(self._call, other, now)
            if not other.join_state.consults and self._is_one_party(name):
                self._doubt(other, now)
        for other in kept_calls:
            part(other)
        return False

    def _is_one_party(self, name: str) -> bool:
        """Return whether a name belongs to one party: an outside number or one of our phones.

        Other names in the centre can be queues, in which several calls wait.
        """
        inside = self._router.place(name)[0] is DestinationClass.CENTRE
        return not inside or self._router.phones.known(name)

    def _kept_by(self, keeper: LiveCall) -> list[LiveCall]:
        return [call for call in self._live_calls() if call.join_state.kept_by == keeper.call_id]

    def caller_named(self, caller: CallerFacts, now: Now) -> bool:
        """Handle another caller that the PBX names for this call.

        Return True if this call is a consultation and is now joined with the advisor's call,
        because the name is that of the caller who talked with this advisor.
        """
        first = self._find(self._state.consults)
        if first is not None and _are_one(first.caller, caller):
            return self._join(first, self._call, now)
        if first is not None:
            self._shut_if_outside([first], caller, now)
            return False
        meant = [
            other
            for other in self._live_calls()
            if other is not self._call
            and self._call in self._others_from(other)
            and is_same_caller(other.caller, caller)
        ]
        if meant:
            self._doubt(self._call, now)
            self._shut_if_outside(meant, caller, now)
        return False

    def _shut_if_outside(self, meant: Iterable[LiveCall], caller: CallerFacts, now: Now) -> None:
        """Shut the gates of the calls `meant`, whose callers may now talk with an outside party.

        The outside party is at the advisor's end of this call. Nothing happens if that party or the
        new name `caller` is in the centre.
        """
        named = [self._router.place(name)[0] for name in caller.asserted]
        destination, _ = class_of_far_end(self._router, self._call, Side.CALLEE)
        if DestinationClass.CENTRE in {destination, *named}:
            return
        for other in meant:
            other.recording.identified(destination, other.advisor_side.actor, now)
            other.publish()

    def answered(self, now: Now) -> None:
        """Join this consultation at its answer, if the PBX has named a new party before."""
        first = self._find(self._state.consults)
        if first is None:
            return
        renamed = _are_one(first.caller, self._call.caller)
        if renamed or spelled(first.advisor_side.identity) in _far_names(self._call):
            self._join(first, self._call, now)

    def resumed(self) -> None:
        """Join this call again after a restart of the switch, if it was joined before."""
        keeper = self._find(self._state.kept_by)
        if keeper is not None:
            self._call.recording.join(keeper.recording)

    def ended(self) -> None:
        """After this call's end, let the calls joined with it no longer control its recording.

        The joined calls stay hidden. The PBX ends them too.
        """
        for other in self._kept_by(self._call):
            other.recording.part()

    def caller_is_back(self, source: str) -> None:
        """Separate this consultation: the PBX again names the consulting advisor as its caller.

        `source` is the header field with the name. The call with which this call was joined gets
        this advisor again. If the recording of that call has ceased, it does not go on until the
        PBX names a party on that call.
        """
        keeper = self._find(self._state.kept_by)
        if keeper is None or source.lower() == "contact":
            return
        part(self._call)
        caller = self._call.admission.caller
        names = (caller.from_user, *caller.asserted)
        name = next((name for name in names if self._router.phones.user_of(name)), caller.from_user)
        party = Party(name, self._router.phones.user_of(name))
        keeper.advisor_side.joined_with(party)
        keeper.recording.advisor(party)
        keeper.publish()

    def _others_from(self, first: LiveCall) -> Iterator[LiveCall]:
        """Yield the live calls that came from the trunk to which the call `first` went."""
        there = _address(first, Side.CALLEE)
        for other in self._live_calls():
            here = _address(other, Side.CALLER)
            if other is first or other.admission.phone or there is None or here is None:
                continue
            if self._router.same_trunk(there, here):
                yield other

    def _doubt(self, other: LiveCall, now: Now) -> None:
        """Shut the gate of `other`, which may be the second call of a join that the PBX has made.

        After a join, the recording of the first call contains the conversation.
        """
        other.log.info("call.join_in_doubt")
        other.recording.identified(DestinationClass.UNKNOWN, other.advisor_side.actor, now)
        other.publish()

    def _join(self, keeper: LiveCall, other: LiveCall, now: Now) -> bool:
        """Let the call `keeper` go on for the consultation `other` too; return True if joined.

        If `other` still rings, it is joined at its answer (see `answered`).
        """
        if other.join_state.kept_by:
            return True
        if not other.legs.answered:
            return False
        for earlier in self._kept_by(keeper):
            part(earlier)
        keeper.log.info("call.joined_by_pbx")
        for pause in other.recording.pauses:
            keeper.recording.shut(pause, now.arrived)
        destination, _ = class_of_far_end(self._router, other, Side.CALLEE)
        keeper.transfer_state.identity_class = destination
        keeper.transfer_state.complete(destination)
        keeper.recording.identified(destination, keeper.advisor_side.actor, now)
        if other.advisor_side.advisor is not None:
            keeper.advisor_side.joined_with(other.advisor_side.advisor)
            keeper.recording.advisor(other.advisor_side.advisor)
        other.join_state.kept_by = keeper.call_id
        other.recording.join(keeper.recording)
        other.hide()
        keeper.publish()
        return True


def part(call: LiveCall) -> None:
    """End the join of a call: its phone no longer controls another call's recording."""
    call.log.info("call.parted_by_pbx")
    call.join_state.kept_by = ""
    call.recording.part()
    call.publish()


def held_recordings(
    extension: str, state: JoinState, live_calls: Iterable[LiveCall]
) -> Iterator[CallRecording]:
    """Yield the recordings of the calls that an advisor's phone holds while it makes a call.

    `extension` is that of the phone; "" if a trunk brought its call. `state` has the joins of the
    call that the phone has made. A PBX does not report that its phone holds, so the call of the
    consulting advisor counts as held.
    """
    for other in live_calls:
        side = other.advisor_side
        consults = other.call_id == state.consults and not state.kept_by
        holds = Side.CALLEE in other.legs.holding
        is_own = side.advisor is not None and side.advisor.extension == extension != ""
        if consults or (holds and is_own):
            yield other.recording


def _are_one(caller: CallerFacts, named: CallerFacts) -> bool:
    """Return whether two callers are one: they share a number, or both have withheld it."""
    return is_same_caller(caller, named) or (is_withheld(caller) and is_withheld(named))


def consulted_call(
    calls: Iterable[LiveCall], admission: Admission, source: Address, router: Router
) -> LiveCall | None:
    """Return the live call whose advisor makes a new call; None if there is no such call.

    `admission` has the facts about the new call, and `source` is the address that sent its INVITE.
    The new call must come from the trusted trunk to which the live call went, and the trunk must
    name the live call's advisor as the caller of the new call.
    """
    if admission.phone or not admission.trusted:
        return None
    names = numbers_of(admission.caller)
    for call in calls:
        there = _address(call, Side.CALLEE)
        named = _personal_name(call, router) in names
        if named and there is not None and router.same_trunk(there, source):
            return call
    return None


def _personal_name(call: LiveCall, router: Router) -> str | None:
    """Return the name of a call's advisor; None if the name may belong to more than one phone.

    A PBX can use its main number for all its phones. So the name must belong to a user, or it must
    be an extension that is neither the name that we have dialled nor the number of a line.
    """
    side = call.advisor_side
    if side.advisor is None or side.target is None:
        return None
    name = side.advisor.extension
    if presented_caller(name, "").withheld:
        return None
    number = spelled(name)
    shared = name == side.target.name or number.startswith("+") or router.is_line(name)
    return number if name and (router.phones.user_of(name) or not shared) else None


def _far_names(call: LiveCall) -> set[str]:
    """Return the names of the party at the advisor's end of a call, as `spelled` writes them.

    A name of the call's own caller is left out, because it does not tell the two parties apart. So
    is a name that is withheld, because many parties have it.
    """
    side = call.advisor_side
    extension = side.advisor.extension if side.advisor is not None else ""
    given = (call.admission.called, extension, side.identity)
    names = {spelled(name) for name in given if name and not presented_caller(name, "").withheld}
    return names - numbers_of(call.admission.caller)


def _address(call: LiveCall, side: Side) -> Address | None:
    """Return the address of the peer on `side`; None before the answer, or for our called phone."""
    joined = call.legs.joined
    if joined is None:
        return None
    leg = call.legs.legs[joined[0 if side is Side.CALLER else 1]]
    if leg.dialog is None or (leg.target is not None and leg.target.is_phone):
        return None
    return leg.dialog.peer


LONGEST_US: Final = 1_000_000
"""The longest talk time of a lost fork, in microseconds.

The PBX hangs up as soon as it has our 200, which is sent again after half a second if it is lost.
"""
APART_S: Final = 2.0
"""The longest time between the INVITEs of the calls that ring for one caller, in seconds."""


def is_lost_fork(
    call: LiveCall, cause: str, talk_us: int | None, others: Iterable[LiveCall]
) -> bool:
    """Return whether an answered call has ended as the lost fork of a PBX.

    A PBX may ring several extensions for one caller, each with a call of its own through Galwad. If
    two calls are answered at almost the same time, the PBX hangs up one of them at once. Its BYE
    says that another party has answered, or one of the live calls `others` is for the same caller.
    `talk_us` is the call's talk time in microseconds; None if it is not known.
    """
    admission = call.admission
    if talk_us is None or talk_us >= LONGEST_US or not admission.trunk or not admission.trusted:
        return False
    if cause == EndCause.CALLER_HUNG_UP:
        return any(_are_for_one_caller(call, other) for other in others)
    return cause == EndCause.ANSWERED_ELSEWHERE


def _are_for_one_caller(call: LiveCall, other: LiveCall) -> bool:
    """Return whether a PBX rings two extensions for one caller, and `other` is answered."""
    ours, theirs = call.admission, other.admission
    numbers = {number for name in numbers_of(ours.caller) if (number := spelled_number(name))}
    return (
        other.legs.answered
        and theirs.trunk == ours.trunk
        and theirs.called != ours.called
        and abs(other.started - call.started) <= APART_S
        and not numbers.isdisjoint(numbers_of(theirs.caller))
    )
