"""Ringing one target or several at once, until one answers or none is left (RFC 3261 16.7).

An attempt is made for an `Outcome`: the first ringing, a transfer, a recall. It knows how
branches race; what an answer means for the caller is the outcome's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from telephony.b2bua.bodies import description
from telephony.b2bua.core import SDP_TYPE, CallCore, Cause
from telephony.b2bua.diversion import Diversions
from telephony.b2bua.events import CallDiverted, LegRinging, Side
from telephony.b2bua.headers import presented, survivors
from telephony.b2bua.leg import Leg, LegState
from telephony.b2bua.session_timer import min_se, request_fields
from telephony.b2bua.settings import Target
from telephony.errors import NoPortsError, ParseError, ProtocolError, SdpParseError
from telephony.sdp import Direction, SessionDescription
from telephony.sip.core import is_ipv6
from telephony.sip.events import InviteAnswered, InviteFailed, InviteProgress
from telephony.sip.headers import NameAddr
from telephony.sip.message import Request, Response
from telephony.sip.rack import rseq_of

if TYPE_CHECKING:
    from telephony.b2bua.call import BackToBackCall

ELSEWHERE = (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),)
_TELLING = (486, 480, 603, 415, 420, 484, 488)


@dataclass(frozen=True, slots=True)
class Failure:
    """A final response below or above 2xx, or the lack of one."""

    status: int
    response: Response | None = None

    @property
    def rank(self) -> tuple[int, int]:
        """The smaller, the better to tell the caller (RFC 3261 16.7 step 6)."""
        if self.status >= 600:
            return 0, 0
        if self.status in _TELLING:
            return self.status // 100, _TELLING.index(self.status)
        return self.status // 100, len(_TELLING) + (self.response is None)


class Outcome(Protocol):
    """Whoever wants somebody to answer."""

    def on_progress(self, leg: Leg, event: InviteProgress, now: float) -> None:
        """A branch rings or sends early media."""

    def on_answer(self, leg: Leg, event: InviteAnswered, now: float) -> int:
        """The first 2xx: 0 takes it (and has acknowledged it); a status turns it down."""

    def on_failure(self, failure: Failure, now: float) -> None:
        """Nobody answered."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the branches' INVITEs hold."""

    request: Request
    """The caller's INVITE: its identity and its surviving headers."""
    to: NameAddr | None
    """None: each target's own URI."""
    offer: SessionDescription | None
    """None: the target makes the offer."""
    max_forwards: int
    direction: Direction | None = None
    """Offered instead of the offer's own: a party on hold is not on hold for a newcomer."""


class Attempt:
    """Some branches that ring for one outcome."""

    def __init__(
        self, core: CallCore, outcome: Outcome, invitation: Invitation, deadline: float
    ) -> None:
        """An attempt without branches yet."""
        self._core = core
        self._outcome = outcome
        self._invitation = invitation
        self.deadline: float | None = deadline
        self.branches: list[Leg] = []
        self.offers: dict[str, SessionDescription] = {}
        """What each leg was offered, by leg id."""
        self._early: dict[tuple[str, str], SessionDescription] = {}
        self._settled: set[tuple[str, str]] = set()
        """Of those, which came reliably (RFC 3262)."""
        self._failures: list[Failure] = []
        self.diversions: Diversions | None = None
        """Who may be rung for whoever answers 3xx; nobody if None."""
        self.single = True
        """One branch at a time: what it says before its answer may be passed on as it is."""

    @property
    def over(self) -> bool:
        """Answered, failed or given up."""
        return self.deadline is None

    def start(self, call: BackToBackCall, targets: Sequence[Target], now: float) -> None:
        """Ring them all.

        Raises:
            NoPortsError: not every branch got ports; nobody was rung.
        """
        try:
            legs = self._bind(call, targets, now)
        except NoPortsError:
            self.deadline = None
            raise
        self._ring(legs, now)

    def _bind(self, call: BackToBackCall, targets: Sequence[Target], now: float) -> list[Leg]:
        """Legs with ports for all of the targets, or for none."""
        legs: list[Leg] = []
        try:
            for target in targets:
                ipv6 = is_ipv6(target.destination.host)
                legs.append(self._core.new_leg(call, Side.ADVISOR, target, ipv6=ipv6))
        except NoPortsError:
            for leg in legs:
                self._core.end_leg(leg, Cause.NO_PORTS, now)
            raise
        return legs

    def _ring(self, legs: Sequence[Leg], now: float) -> None:
        self.branches += legs
        self.single = self.single and len(legs) == 1
        for leg in legs:
            try:
                self._invite(leg, now)
            except (ProtocolError, SdpParseError):
                self._lost(leg, Failure(503), now)
            if self.over:
                return

    def _invite(self, leg: Leg, now: float) -> None:
        core, plan, target = self._core, self._invitation, leg.target
        if target is None:
            return
        trust = core.trust(core.caller, leg)
        leg.client = core.endpoint.invite(
            target.uri,
            from_=presented(plan.request, trust),
            to=plan.to or NameAddr("", target.uri, ()),
            destination=target.destination,
            headers=(
                *survivors(plan.request.headers, trust),
                *request_fields(None, core.settings, leg.min_se),
                *(SDP_TYPE if plan.offer else ()),
            ),
            body=self._offer(leg),
            routes=target.path,
            max_forwards=plan.max_forwards,
            owner=leg,
            now=now,
        )

    def _offer(self, leg: Leg) -> bytes:
        offer, direction = self._invitation.offer, self._invitation.direction
        if offer is None:
            return b""
        caller, allowed = self._core.caller.media, self._core.settings.codecs
        said = leg.media.pass_on(offer, caller, allowed, direction)
        self.offers[leg.id] = said
        return bytes(said)

    # --- answers ----------------------------------------------------------------------------

    def progress(self, leg: Leg, event: InviteProgress, now: float) -> None:
        """A provisional response to a branch."""
        if self.over or not leg.alive or event.response.status <= 100:
            return
        self._core.notice(leg, event.response)
        if leg.state is LegState.CALLING and leg.target is not None:
            leg.state = LegState.RINGING
            self._core.emit(LegRinging(leg.id, leg.target))
        if event.answer_due:  # an offer to an INVITE that had none; we asked for no such thing
            self._lost(leg, Failure(502), now)
            return
        early = early_description(event.response)
        if early is not None and event.dialog is not None:
            self._keep(leg, event.dialog.id.remote_tag, event.response, early)
        self._outcome.on_progress(leg, event, now)

    def said(self, leg: Leg, event: InviteAnswered) -> SessionDescription | None:
        """The 2xx's description, or that of a provisional response before it in its dialog.

        Many send their answer in a 183 and a 200 without any; an answer in a reliable one is the
        answer, whatever the 2xx holds (RFC 3261 13.2.1).

        Raises:
            ParseError: it cannot be read.
        """
        dialog = leg.id, event.dialog.id.remote_tag
        early = self._early.get(dialog)
        return early if dialog in self._settled else description(event.response) or early

    def _keep(self, leg: Leg, tag: str, response: Response, early: SessionDescription) -> None:
        if (leg.id, tag) not in self._settled:
            self._early[leg.id, tag] = early
            if rseq_of(response) is not None:
                self._settled.add((leg.id, tag))

    def answered(self, leg: Leg, event: InviteAnswered, now: float) -> None:
        """A 2xx to a branch: the first wins."""
        if self.over or not leg.alive:
            decline(event, now)
            return
        self._core.notice(leg, event.response)
        refused = self._outcome.on_answer(leg, event, now)
        if refused:
            decline(event, now)
            self._lost(leg, Failure(refused), now)
            return
        self.deadline = None
        for other in self.branches:
            if other is not leg:
                self._core.end_leg(other, Cause.LOST, now, ELSEWHERE)

    def failed(self, leg: Leg, event: InviteFailed, now: float) -> None:
        """A branch ended without an answer."""
        if self.over or not leg.alive:
            return
        if event.status == 422 and event.response is not None and leg.client is not None:
            wanted = min_se(event.response)
            if wanted > leg.min_se:
                leg.min_se = wanted
                fields = request_fields(None, self._core.settings, wanted)
                leg.client = leg.client.retry(headers=fields, now=now)
                return
        if not self._elsewhere(leg, event, now) and not self._diverted(leg, event, now):
            self._lost(leg, Failure(event.status, event.response), now)

    def _elsewhere(self, leg: Leg, event: InviteFailed, now: float) -> bool:
        """Try the target's next address if nobody was there, or with too much to do."""
        absent = event.response is None and event.status in {408, 503}
        if leg.target is None or leg.client is None or not (absent or event.status == 503):
            return False
        while leg.target.others:
            destination, *others = leg.target.others
            leg.target = replace(leg.target, destination=destination, others=tuple(others))
            try:
                leg.media.move(ipv6=is_ipv6(destination.host))
                self._invite(leg, now)
            except (NoPortsError, ProtocolError, SdpParseError):
                continue
            return True
        return False

    def _diverted(self, leg: Leg, event: InviteFailed, now: float) -> bool:
        """Ring whom a 3xx names in the leg's place, if that is nobody strange."""
        if self.diversions is None or event.response is None:
            return False
        targets = self.diversions.targets(event.response, self.branches, now)
        try:
            legs = self._bind(leg.call, targets, now)
        except NoPortsError:
            return False
        if legs:
            self._core.end_leg(leg, Cause.FAILED, now)
            self._core.emit(CallDiverted(leg.id, targets))
            self._ring(legs, now)
        return bool(legs)

    def _lost(self, leg: Leg, failure: Failure, now: float) -> None:
        self._failures.append(failure)
        self._core.end_leg(leg, Cause.FAILED, now)
        if failure.status >= 600 or not any(branch.alive for branch in self.branches):
            self._give_up(now)

    def timer(self, now: float) -> None:
        """Ring no longer than until the deadline."""
        if self.deadline is not None and now >= self.deadline:
            self._failures.append(Failure(408))
            self._give_up(now)

    def _give_up(self, now: float) -> None:
        self.cancel(Cause.NO_ANSWER, now)
        best = min(self._failures, key=lambda failure: failure.rank)
        self._outcome.on_failure(best, now)

    def cancel(self, cause: str, now: float) -> None:
        """Ring no more; the outcome is not told."""
        self.deadline = None
        for leg in self.branches:
            if not leg.talking:
                self._core.end_leg(leg, cause, now)


def decline(event: InviteAnswered, now: float) -> None:
    """Acknowledge a 2xx that nobody wants, and hang up (RFC 3261 13.2.2.4, 15)."""
    event.dialog.ack(event.client, now=now)
    event.dialog.request("BYE", now=now)


def early_description(response: Response) -> SessionDescription | None:
    """A provisional response's SDP; None if there is none that can be read."""
    try:
        return description(response)
    except ParseError:
        return None
