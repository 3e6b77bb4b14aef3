"""The presence of users as the API shows it."""

from __future__ import annotations

from galwad.calls.presence.bodies import AdvisorPresence
from galwad.calls.presence.states import Presence


def view_of(presence: Presence) -> AdvisorPresence:
    """Return the presence of a user as a response or event has it."""
    taken = presence.taken
    return AdvisorPresence(
        user=presence.user,
        extension=presence.extension,
        state=presence.state.value,
        since=presence.since,
        on_break=taken is not None,
        reason=taken.reason if taken is not None else "",
        set_by=taken.set_by if taken is not None else "",
        devices=presence.devices,
        page=presence.page,
        line=presence.line,
        ringing=presence.ringing,
        team=presence.team,
    )
