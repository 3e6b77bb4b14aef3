"""The rules by which the state of each user follows from breaks, calls, pages and phones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from galwad.calls.bodies import Presence, PresenceState
from galwad.calls.live_calls import DeskCall
from galwad.calls.presence.store import Break
from galwad.messages import Party
from galwad.people.user import User

_TALKING = {"answered", "held"}


class PresenceFacts:
    """The facts at the Unix time `now` from which the state of each user follows.

    `devices_known` is false if `devices` may be out of date. `at_pbx` returns whether a user's
    phone may be registered at a PBX, which reports no devices. `wrapped_up` has the times at which
    users have ended a wrap-up early.
    """

    def __init__(
        self,
        calls: Iterable[DeskCall],
        devices: Mapping[Party, int],
        wrapped_up: Mapping[str, float],
        *,
        at_pbx: Callable[[User], bool],
        devices_known: bool,
        now: float,
    ) -> None:
        self._calls: dict[Party, list[tuple[DeskCall, str]]] = {}
        self._devices: dict[Party, int] = {}
        self._extensions: dict[str, str] = {}
        self._wrapped_up = wrapped_up
        self._at_pbx = at_pbx
        self._devices_known = devices_known
        self._now = now
        for call in calls:
            for party, part in _parts(call):
                self._calls.setdefault(_owner(party), []).append((call, part))
        for party, count in devices.items():
            owner = _owner(party)
            self._devices[owner] = self._devices.get(owner, 0) + count
            if party.user:
                self._extensions[party.user] = party.extension

    def _goes_on(self, call: DeskCall) -> bool:
        return call.wrapup_until is None or self._now < call.wrapup_until

    def _may_ring(self, user: User, extension: str | None) -> bool:
        """Return whether a user's phone may ring, although no registered device is known."""
        return self._at_pbx(user) or (extension is not None and not self._devices_known)

    def presence_of(
        self, user: User, taken: Break | None, before: Presence | None, *, page: bool
    ) -> Presence:
        """Return the presence of a user. `before` is the last presence; None if there is none."""
        extension = user.extension or self._extensions.get(user.name)
        owners = [Party("", user.name), *([Party(extension)] if extension else [])]
        parts = [each for owner in owners for each in self._calls.get(owner, ())]
        devices = sum(self._devices.get(owner, 0) for owner in owners)
        talking = [call for call, part in parts if part == "talks"]
        busy = talking or [call for call, part in parts if part == "rings"]
        ended = max(
            (call.state.since for call, part in parts if part == "ended" and self._goes_on(call)),
            default=float("-inf"),
        )
        in_wrap_up = ended > self._wrapped_up.get(user.name, 0.0)
        since: float | None = None
        if busy:
            state = PresenceState.ON_CALL
        elif taken is not None:
            state, since = PresenceState.BREAK, taken.since
        elif in_wrap_up:
            state, since = PresenceState.WRAP_UP, ended
        elif devices or (page and self._may_ring(user, extension)):
            state = PresenceState.AVAILABLE
        else:
            state = PresenceState.NO_PHONE if page else PresenceState.OFFLINE
        if since is None and before is not None and before.state is state:
            since = before.since
        if since is None:
            since = busy[0].state.since if busy and before is None else self._now
        return Presence(
            user=user.name,
            extension=extension,
            state=state,
            since=since,
            on_break=taken is not None,
            reason=taken.reason if taken is not None else "",
            set_by=taken.set_by if taken is not None else "",
            devices=devices if self._devices_known else None,
            page=page,
            line=talking[0].state.line if talking else "",
            ringing=bool(busy) and not talking,
            team=user.team,
        )


def _owner(party: Party) -> Party:
    return Party("", party.user) if party.user else Party(party.extension)


def _parts(call: DeskCall) -> Iterable[tuple[Party, str]]:
    """Return the phones that take part in a call, each with "rings", "talks" or "ended".

    A `restored` call has no phone with "ended", because the time of its end may not be known. After
    a transfer to a party that is not a user of the desk, the call has "ended" for the advisor.
    """
    state = call.state
    if call.wrapup or call.transferred_by is not None:
        done = call.advisor is not None and not call.has_saved_note and not call.restored
        return [(call.advisor, "ended")] if done and call.advisor is not None else []
    parts = [(party, "rings") for party in state.ringing]
    if state.advisor is not None and state.state in _TALKING:
        parts.append((state.advisor, "talks"))
    if state.outgoing:
        parts.append((Party(state.caller.from_user), "talks"))
    return parts
