"""The decision about requests within a dialog that come from another host than the peer's.

A party that has seen a message of a call knows its Call-ID and tags. With these alone, it must not
be able to move the media of the call, to end or transfer it, or to resume its recording. The SIP
core accepts requests from the hosts that the dialog itself names (`Dialog.is_known_host`), and asks
`DialogSources` about all others.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from galwad.settings import Settings
from galwad.switch.edge.admission import Admission, AdmissionControl, Rejection
from galwad.switch.edge.phones import Phones
from telephony.b2bua import Leg
from telephony.sip.dialog import Dialog, DialogRefusal
from telephony.sip.events import Address
from telephony.sip.message.messages import Request

_BURST_S = 5.0
log = structlog.get_logger()


class DialogSources:
    """Accepts, challenges or refuses requests within a dialog from unknown hosts.

    - A request from another address of the peer's trunk, or of the target that we called, is
      accepted.
    - A phone may move: a request from an address at which it has registered, or with its
      credentials, is accepted, and the dialog follows it. Without credentials, it is challenged.
    - Any other request gets 403 and raises an alarm. The dialog does not change.
    """

    def __init__(
        self,
        settings: Settings,
        phones: Phones,
        admission_control: AdmissionControl,
        admission_of: Callable[[str], Admission | None],
        alarm: Callable[[str, str | None], None],
    ) -> None:
        """Store the objects that decide.

        `admission_of` returns the admission of the live call with a given call id, or None.
        """
        self._settings = settings
        self._phones = phones
        self._admission_control = admission_control
        self._admission_of = admission_of
        self._alarm = alarm
        self._refused_at = float("-inf")

    def check(
        self, dialog: Dialog, request: Request, source: Address, now: float
    ) -> DialogRefusal | None:
        """Return None if the request is accepted, otherwise the response that refuses it."""
        leg = dialog.owner if isinstance(dialog.owner, Leg) else None
        if self._is_same_trunk(dialog.peer, source) or (leg and _is_at_target(leg, source)):
            return None
        extension = self._extension_of(leg) if leg is not None else ""
        if not extension:
            self._report(leg, request, now)
            return DialogRefusal(403)
        if not self._is_registered_at(extension, source, now):
            verdict = self._admission_control.prove(extension, request, source, now)
            if isinstance(verdict, Rejection):
                return DialogRefusal(verdict.status, verdict.headers)
        log.info("dialog.phone_moved", extension=extension)
        dialog.follow(source)
        return None

    def _report(self, leg: Leg | None, request: Request, now: float) -> None:
        """Log a refused request and raise an alarm, once for a series of requests."""
        quiet = now - self._refused_at > _BURST_S
        self._refused_at = now
        if quiet:
            log.warning("dialog.foreign_request", method=request.method)
            self._alarm("dialog.foreign_request", leg.call.call_id if leg is not None else None)

    def _is_same_trunk(self, peer: Address, source: Address) -> bool:
        trunk = self._settings.find_trunk(*source[:3])
        return trunk is not None and trunk is self._settings.find_trunk(*peer[:3])

    def _extension_of(self, leg: Leg) -> str:
        """Return the extension of the phone on this leg; "" for any other peer."""
        if leg.target is not None:
            return leg.target.name if leg.target.is_phone else ""
        admission = self._admission_of(leg.call.call_id)
        return admission.caller.from_user if admission is not None and admission.phone else ""

    def _is_registered_at(self, extension: str, source: Address, now: float) -> bool:
        bindings = self._phones.bindings(extension, now)
        return any(binding.source.host == source.host for binding in bindings)


def _is_at_target(leg: Leg, source: Address) -> bool:
    """Return whether `source` is at one of the addresses of the target that this leg called."""
    target = leg.target
    if target is None or target.is_phone:
        return False
    return source.host in {there.host for there in (target.destination, *target.others)}
