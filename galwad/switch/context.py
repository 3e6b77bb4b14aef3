"""The objects that all calls of the switch share, and the settings for one call's legs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from galwad.settings import Settings
from galwad.switch.admission import Admission
from galwad.switch.checkpoint_store import CheckpointStore
from galwad.switch.link_server import LinkServer
from galwad.switch.naming import NamingMonitor
from galwad.switch.pbx_joins import JoinableCall
from galwad.switch.routing import Router, grants_of
from galwad.switch.spools import SpoolFactory
from galwad.switch.transfers import TransferableCall
from telephony.aio.relay import Relay
from telephony.b2bua import CallSettings
from telephony.sdp import Srtp
from telephony.sip.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class CallContext:
    """The objects and callbacks that all calls of the switch share."""

    endpoint: Endpoint
    relay: Relay
    links: LinkServer
    naming: NamingMonitor
    router: Router
    spools: SpoolFactory
    checkpoints: CheckpointStore
    settings: Settings
    flush: Callable[[], None]
    """A function that sends the SIP messages that wait in the endpoint."""
    find: Callable[[str], TransferableCall | None]
    """A function that returns the live call with a given call id, or None."""
    live_calls: Callable[[], Iterable[JoinableCall]]
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
