"""The interface of a live call for its parts, and the objects that all calls share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from galwad.messages import CallEnded, CallerFacts, CallStatus
from galwad.settings import Settings
from galwad.switch.call.advisor_side import AdvisorSide
from galwad.switch.call.call_recording import CallRecording
from galwad.switch.call.checkpoints import CheckpointStore
from galwad.switch.call.clocks import Now
from galwad.switch.call.spools import SpoolFactory
from galwad.switch.edge.admission import Admission
from galwad.switch.edge.peers import NamingMonitor
from galwad.switch.edge.routing import Router, grants_of
from recording.policy import DestinationClass, Trigger
from telephony.aio.relay import Relay
from telephony.b2bua import BackToBackCall, CallSettings, SessionInterval, Target
from telephony.sdp import Srtp
from telephony.sip.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Transfer:
    """The facts about one transfer that the recording needs."""

    destination: DestinationClass
    label: str = ""
    """The name of the target, as in `TransferTarget.label`."""
    trigger: Trigger = Trigger.REFER
    actor: str = ""
    """The person who ordered the transfer on the page; "" means the advisor's phone."""


@dataclass(slots=True)
class TransferState:
    """The results of the transfers of one call so far, and a transfer in progress."""

    ringing: Transfer | None = None
    """The transfer whose target rings while the advisor still talks with the caller, or None.

    The recording does not contain this transfer yet.
    """
    begun: int = 0
    """The number of transfers that were begun, including those that failed at once."""
    failed: int = 0
    """The SIP status of the most recent transfer, if it failed; 0 if it did not."""
    referred_to: DestinationClass = DestinationClass.UNKNOWN
    """The destination class of the most recent transfer's target; UNKNOWN if there was none."""
    outside: bool = False
    """True while the caller talks with a party outside the centre because of a transfer."""
    identity_class: DestinationClass | None = None
    """The destination class of a new party that a PBX has named at the advisor's end.

    It is also the class of a party outside the centre that has answered the call. It is None if
    there has been no such party since the most recent transfer.
    """
    completed: int = 0
    """The number of complete transfers. A new party that a PBX has named also counts."""
    destination: str = ""
    """The destination class of the last complete transfer; "" if there was none."""

    def complete(self, destination: DestinationClass) -> None:
        """Count a complete transfer to a destination of this class. Forget an earlier failure."""
        self.completed, self.destination = self.completed + 1, destination.value
        self.failed = 0

    def begin(self) -> None:
        """Count a transfer that begins, and forget the failure of an earlier transfer."""
        self.begun, self.failed = self.begun + 1, 0


@dataclass(slots=True)
class JoinState:
    """The ids of the calls with which a PBX can join this call, or has joined it."""

    consults: str = ""
    """The id of the call whose advisor has made this call; "" if this is no consultation."""
    kept_by: str = ""
    """The id of the call that goes on for this call too; "" without a join by a PBX."""


class LiveCall(Protocol):
    """A call in progress. `SwitchCall` has these members and others."""

    call_id: str
    started: float
    """The Unix time in seconds at which the call began."""
    admission: Admission
    caller: CallerFacts
    """The present caller: the caller of the INVITE, or the caller that a trunk named later."""
    legs: BackToBackCall
    log: structlog.stdlib.BoundLogger
    advisor_side: AdvisorSide
    recording: CallRecording
    transfer_state: TransferState
    join_state: JoinState

    def targets(self, now: float) -> tuple[Target, ...]:
        """Return the targets that the call's route would ring at the time `now`."""

    def caller_target(self) -> Target:
        """Return the caller as a target, so that another call can be connected to the caller."""

    def talk_with(self, leg_id: str, target: Target, now: Now) -> None:
        """Make `target`, on `leg_id`, the new party, for the recording and for the page."""

    def come_back_to(self, leg_id: str, target: Target, now: Now) -> None:
        """Make `target` the new party: the call has come back to the centre from outside."""

    def publish(self) -> None:
        """Send the call's present state to the desk."""

    def hide(self) -> None:
        """Report to the desk that this call is no longer shown: another call goes on for it."""

    def settle(self, now: Now) -> None:
        """Handle the events that the legs of the call have emitted."""

    def hangup(self, reason: str, now: Now) -> None:
        """End every leg of the call; `reason` is the value of a Reason header field (RFC 3326)."""


class Links(Protocol):
    """The reports of a call to the desk and the finaliser. `LinkServer` sends them."""

    def alarm(self, kind: str, call_id: str | None = None, detail: str = "") -> None:
        """Log an alarm and send it to every desk."""

    def call_changed(self, call: CallStatus) -> None:
        """Send the whole state of a call to every desk."""

    def call_ended(self, ended: CallEnded) -> None:
        """Report the end of a call to every desk; store it if the ledger must contain the call."""

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
    """Sends the SIP messages that wait in the endpoint."""
    find: Callable[[str], LiveCall | None]
    live_calls: Callable[[], Iterable[LiveCall]]
    forget: Callable[[str], None]
    """Removes the call with this id from the live calls. Called once, when the call has ended."""


def call_settings(settings: Settings, admission: Admission) -> CallSettings:
    """Return the settings for the legs of a call.

    `admission` has the facts about the caller and the rules for the caller's leg.
    """
    sip = settings.sip
    trunk = next((each for each in settings.trunks if each.name == admission.trunk), None)
    return CallSettings(
        ring_timeout=sip.ring_timeout,
        session=SessionInterval(sip.session_expires, sip.min_se),
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
