"""The objects that all calls of the switch share, and the settings for one call's legs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from galwad.messages import CallEnded, CallStatus
from galwad.settings import Settings
from galwad.switch.call.checkpoints import CheckpointStore
from galwad.switch.call.live_call import LiveCall
from galwad.switch.call.pbx import NamingMonitor
from galwad.switch.call.spools import SpoolFactory
from galwad.switch.edge.admission import Admission
from galwad.switch.edge.routing import Router, grants_of
from telephony.aio.relay import Relay
from telephony.b2bua import CallSettings
from telephony.sdp import Srtp
from telephony.sip.endpoint import Endpoint


class Links(Protocol):
    """The reports of a call to the desk and the finaliser. `LinkServer` sends them."""

    def alarm(self, kind: str, call_id: str | None = None, detail: str = "") -> None:
        """Log an alarm and send it to every desk."""

    def call_changed(self, call: CallStatus) -> None:
        """Send the whole state of a call to every desk."""

    def call_ended(self, ended: CallEnded) -> None:
        """Report the end of a call to every desk."""

    def spool_closed(self, call_id: str) -> None:
        """Report to every finaliser that nothing more is written to a call's spools."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """The objects and callbacks that all calls of the switch share."""

    endpoint: Endpoint
    relay: Relay
    links: Links
    naming: NamingMonitor
    router: Router
    spools: SpoolFactory
    checkpoints: CheckpointStore
    settings: Settings
    flush: Callable[[], None]
    """A function that sends the SIP messages that wait in the endpoint."""
    find: Callable[[str], LiveCall | None]
    """A function that returns the live call with a given call id, or None."""
    live_calls: Callable[[], Iterable[LiveCall]]
    """A function that returns all live calls."""
    forget: Callable[[str], None]
    """A function that removes the call with a given call id from the live calls.

    The function is called once for each call, when the call has ended.
    """


def call_settings(settings: Settings, admission: Admission) -> CallSettings:
    """Return the settings for the legs of a call.

    `admission` has the facts about the caller and the rules for the caller's leg.
    """
    sip = settings.sip
    trunk = next((each for each in settings.trunks if each.name == admission.trunk), None)
    return CallSettings(
        ring_timeout=sip.ring_timeout,
        session_expires=sip.session_expires,
        min_se=sip.min_se,
        recall_timeout=sip.recall_timeout,
        transfer_timeout=sip.transfer_timeout,
        trust_caller=admission.trusted,
        caller_is_phone=admission.phone,
        caller_grants=grants_of(trunk),
        caller_extension=admission.caller.from_user if admission.phone else "",
        caller_user=admission.user,
        caller_srtp=Srtp(admission.srtp),
        urgent=admission.emergency,
    )
