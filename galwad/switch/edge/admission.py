"""Admission of calls, registrations and requests within a call.

Trunks are known by their address, phones by digest authentication (RFC 3261 section 22, RFC 8760).
An INVITE from any other sender is refused, and so is a REGISTER without a phone's password.

A party that has seen a message of a call knows its Call-ID and tags. With only this knowledge, the
party must not be able to move the media of the call, to end or transfer it, or to resume its
recording. The SIP core accepts requests from the hosts that the dialog itself names
(`Dialog.is_known_host`), and asks `DialogSources` about all other hosts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from galwad.messages import CallerFacts
from galwad.settings import Settings
from galwad.switch.edge.callers import caller_fields, caller_of
from galwad.switch.edge.emergency import called_number
from galwad.switch.edge.guessing import GuessLimits
from galwad.switch.edge.overload import RETRY_AFTER_S
from galwad.switch.edge.phones import Phones
from recording.spool import Clock
from telephony.b2bua import Leg
from telephony.sip.dialog import Dialog, DialogRefusal
from telephony.sip.events import Address
from telephony.sip.message.messages import Request
from telephony.sip.ua.auth import AuthOutcome, DigestServer, DigestVerification
from telephony.sip.ua.server_request import ServerRequest
from telephony.sip.ua.uas import InviteServer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Admission:
    """The facts about the caller of an admitted call, and the rules for the caller's leg."""

    caller: CallerFacts
    called: str
    """The dialled number: the user part of the Request-URI, without separators such as "-"."""
    trusted: bool
    """True if the caller is in our trust domain (RFC 3325): a trusted trunk or one of our
    phones."""
    phone: bool
    """True if one of our phones makes the call.

    If the phone sent the INVITE, requests to the phone go to the address that sent the INVITE.
    """
    recorded: bool
    source_rule: str
    """The rule for the source of the caller's media, one of `telephony.aio.relay.SourceRule`."""
    srtp: str
    """The protection of the caller's media by SRTP: `off`, `optional` or `required`."""

    trunk: str = ""
    """The name of the trunk that sent the INVITE; "" if a phone sent it."""
    user: str = ""
    """The user of the phone that sent the INVITE; "" if a trunk sent it, or if there is no user."""
    emergency: bool = False
    """True if one of our phones, or a trusted trunk such as a PBX, calls an emergency number."""

    def facts(self, line: str) -> Mapping[str, str | bool | None]:
        """Return the fields of the spool's `call` event; `line` is the route's label."""
        return {**caller_fields(self.caller), "line": line, "called": self.called}


@dataclass(frozen=True, slots=True)
class Rejection:
    """The response that refuses an INVITE: its status and header fields."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


def phone_admission(
    settings: Settings, phones: Phones, extension: str, host: str, called: str
) -> Admission:
    """Return the `Admission` of a phone's call to `called`; `host` is the host of its From URI."""
    return Admission(
        caller=CallerFacts(extension, host, trusted=False),
        called=called,
        trusted=True,
        phone=True,
        recorded=settings.recording.include_phones,
        source_rule=settings.media.source,
        srtp=settings.srtp_rule_of(extension),
        user=phones.user_of(extension),
        emergency=called in settings.sip.emergency_numbers,
    )


class AdmissionControl:
    """Admits or refuses each REGISTER, and each INVITE that is outside a dialog."""

    def __init__(
        self,
        settings: Settings,
        phones: Phones,
        secret: bytes,
        guesses: GuessLimits,
        count_outcome: Callable[[Address, DigestVerification, float], None] = lambda *_: None,
    ) -> None:
        """Prepare the digest authentication.

        `secret`, a new random key in each process, signs the nonces. `guesses` limits password
        checks. `count_outcome` receives the source, the result and the monotonic time in seconds of
        each check.
        """
        self._settings = settings
        self._guesses = guesses
        self._count_outcome = count_outcome
        self._phones = phones
        self._digest = DigestServer(
            settings.sip.realm, secret, phones.ha1, algorithms=settings.sip.digest
        )

    def invite(self, invite: InviteServer, now: float) -> Admission | Rejection:
        """Return an `Admission` if the INVITE is admitted, or the `Rejection` that refuses it.

        An INVITE from a trunk is admitted by its source address, an INVITE from a phone by its
        password.
        """
        request = invite.request
        trunk = self._settings.find_trunk(*invite.source[:3])
        called = called_number(self._settings, request.uri)
        if trunk is not None:
            return Admission(
                caller=caller_of(request, trusted=trunk.trusted),
                called=called,
                trusted=trunk.trusted,
                phone=False,
                recorded=True,
                source_rule=trunk.source or self._settings.media.source,
                srtp=trunk.srtp or self._settings.media.srtp,
                trunk=trunk.name,
                emergency=trunk.trusted and called in self._settings.sip.emergency_numbers,
            )
        is_emergency = called in self._settings.sip.emergency_numbers
        verification = self._verify(request, invite.source, now, for_emergency=is_emergency)
        if verification.outcome is not AuthOutcome.ACCEPTED:
            return self._rejection(invite.source, verification.outcome, now)
        if not self._settings.allows_transport(verification.user, invite.source.transport):
            return Rejection(403)
        return phone_admission(
            self._settings,
            self._phones,
            verification.user,
            request.from_.uri.host,
            called,
        )

    def prove(
        self, extension: str, request: Request, source: Address, now: float
    ) -> Rejection | None:
        """Return None if the request has this extension's credentials, else the `Rejection`."""
        verification = self._verify(request, source, now)
        if verification.outcome is not AuthOutcome.ACCEPTED:
            return self._rejection(source, verification.outcome, now)
        return None if verification.user == extension else Rejection(403)

    def register(self, transaction: ServerRequest, now: Clock) -> None:
        """Respond to a REGISTER. A phone may bind contacts only to its own extension."""
        request = transaction.request
        verification = self._verify(request, transaction.source, now.mono)
        if verification.outcome is not AuthOutcome.ACCEPTED:
            refusal = self._rejection(transaction.source, verification.outcome, now.mono)
            transaction.refuse_statelessly(refusal.status, headers=refusal.headers, now=now.mono)
            return
        user, transport = verification.user, transaction.source.transport
        if request.to.uri.user != user or not self._settings.allows_transport(user, transport):
            transaction.respond(403, now=now.mono)
            return
        answer = self._phones.register(verification.user, request, transaction.source, now.mono)
        headers = [
            (name, value)
            for name, value in answer.headers.items()
            if name in {"Contact", "Min-Expires", "Path"}
        ]
        headers.append(("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now.wall))))
        transaction.respond(answer.status, headers=headers, now=now.mono)

    def _verify(
        self, request: Request, source: Address, now: float, *, for_emergency: bool = False
    ) -> DigestVerification:
        verification = self._digest.verify(
            request,
            now,
            host=source.host,
            may_check=lambda user: self._guesses.may_check(
                user, source, now, for_emergency=for_emergency
            ),
        )
        if verification.outcome is AuthOutcome.ACCEPTED:
            self._guesses.count_right(verification.user, source)
        elif verification.outcome is AuthOutcome.REFUSED:
            returned = verification.returned
            self._guesses.count_wrong(verification.named, source, now, returned=returned)
        self._count_outcome(source, verification, now)
        return verification

    def _rejection(self, source: Address, outcome: AuthOutcome, now: float) -> Rejection:
        if outcome is AuthOutcome.UNCHECKED:
            return Rejection(503, (("Retry-After", RETRY_AFTER_S),))
        return Rejection(401, tuple(self._digest.challenges(now, outcome, host=source.host)))


_BURST_S = 5.0
"""The seconds without a refused request after which a refused request raises an alarm again."""


class DialogSources:
    """Accepts, challenges or refuses requests within a dialog from unknown hosts.

    - A request from another address of the peer's trunk, or of the target that we called, is
      accepted.
    - A phone may move: a request from an address at which it has registered, or with its
      credentials, is accepted, and the dialog follows it. Without credentials, it is challenged.
    - A request from any other host gets 403, and the first of a series raises an alarm. The dialog
      does not change.
    """

    def __init__(
        self,
        settings: Settings,
        phones: Phones,
        admission_control: AdmissionControl,
        admission_of: Callable[[str], Admission | None],
        alarm: Callable[[str, str | None], None],
    ) -> None:
        """`admission_of` returns the admission of the live call with a given call id, or None."""
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
    target = leg.target
    if target is None or target.is_phone:
        return False
    return source.host in {there.host for there in (target.destination, *target.others)}
