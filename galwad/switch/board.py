"""What every call of the switch shares, and how the settings bear on one call's legs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from config.settings import Settings
from galwad.switch.admission import Admission
from galwad.switch.checkpoints import Checkpoints
from galwad.switch.hub import Hub
from galwad.switch.routing import Router
from galwad.switch.spools import SpoolRoom
from telephony.aio.relay import Relay
from telephony.b2bua import CallSettings
from telephony.sdp import Srtp
from telephony.sip.endpoint import Endpoint

if TYPE_CHECKING:
    from galwad.switch.call import LiveCall


@dataclass(frozen=True, slots=True)
class Switchboard:
    """What every call of the switch shares."""

    endpoint: Endpoint
    relay: Relay
    hub: Hub
    router: Router
    spools: SpoolRoom
    checkpoints: Checkpoints
    settings: Settings
    flush: Callable[[], None]
    """Send what the endpoint has to send."""
    find: Callable[[str], LiveCall | None]
    """A live call by its id."""
    forget: Callable[[LiveCall], None]
    """Called once, when the call is over."""


def call_with(calls: Mapping[str, LiveCall], leg_id: str) -> LiveCall | None:
    """The call that has this leg now: a leg keeps its name when another call takes it over."""
    call = calls.get(leg_id.partition("/")[0])
    if call is not None and leg_id in call.legs.legs:
        return call
    return next((call for call in calls.values() if leg_id in call.legs.legs), None)


def call_settings(settings: Settings, admission: Admission) -> CallSettings:
    """How a call behaves that was let in like this."""
    sip = settings.sip
    return CallSettings(
        ring_timeout=sip.ring_timeout,
        session_expires=sip.session_expires,
        min_se=sip.min_se,
        recall_timeout=sip.recall_timeout,
        trust_caller=admission.trusted,
        pin_caller=admission.phone,
        caller_srtp=Srtp(admission.srtp),
    )
