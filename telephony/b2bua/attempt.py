"""Ring one target, or several at the same time, until one answers or all have failed.

This is the forking of RFC 3261 section 16.7. An attempt controls its branches, the callee legs to
which it has sent an INVITE. It reports to its `AttemptListener`: the setup of a call or a transfer.

If a target responds with a 3xx, we ring other targets (RFC 3261 8.1.3.4). The application decides
for each Contact which of its own targets to ring. A target that a branch already has is not rung
again: otherwise, two phones could redirect the call to each other for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from telephony.b2bua.bodies import description
from telephony.b2bua.core import SDP_TYPE, CallCore, EndCause, decline
from telephony.b2bua.events import AddressSilent, CallRedirected, MoreTargetsRung, Side
from telephony.b2bua.headers import from_for, passed_fields, shown_address
from telephony.b2bua.leg import Leg
from telephony.b2bua.session_timer import min_se
from telephony.b2bua.settings import LaterTargets, Target
from telephony.errors import NoPortsError, ParseError, ProtocolError, SdpParseError, SipParseError
from telephony.sdp import Direction, SessionDescription
from telephony.sip.events import InviteAnswered, InviteFailed, InviteProgress
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.messages import Request, Response, rseq_of
from telephony.sip.transport.address import is_ipv6

FindTargets = Callable[[NameAddr, float], Sequence[Target]]
"""Returns the targets for a Contact of a 3xx at the given time; empty for an unknown Contact."""

MAX_REDIRECTIONS: Final = 5
"""The most redirections that one attempt to reach a callee follows."""


class Redirections:
    """The redirections in one attempt to reach a callee."""

    def __init__(self, find_targets: FindTargets) -> None:
        self._find_targets = find_targets
        self._count = 0

    def targets(self, response: Response, rung: Sequence[Leg], now: float) -> tuple[Target, ...]:
        """Return the new targets of the first Contact that leads to any new target.

        A target is new if no leg in `rung` has it. Empty without such a Contact, after
        `MAX_REDIRECTIONS`, or if the response is not a 3xx.
        """
        if not 300 <= response.status < 400 or self._count >= MAX_REDIRECTIONS:
            return ()
        known = {leg.target.uri for leg in rung if leg.target is not None}
        for contact in _contacts(response):
            found = tuple(
                target for target in self._find_targets(contact, now) if target.uri not in known
            )
            if found:
                self._count += 1
                return found
        return ()


def _contacts(response: Response) -> Sequence[NameAddr]:
    try:
        return response.contacts
    except SipParseError:
        return ()


ELSEWHERE = (("Reason", 'SIP;cause=200;text="Call completed elsewhere"'),)
SILENT_S: Final = 4.0
"""The seconds after which an address that has sent no response is given up for the next one.

RFC 3263 section 4.3 gives an address up at timer B, after 32 s. No caller waits so long. Over
UDP, four copies of the INVITE have been sent after `SILENT_S`. So a working peer hardly ever seems
silent, even if messages are lost.
"""
_PREFERRED = (486, 480, 415, 420, 484, 488)
"""The 4xx statuses that explain a failure well, the best first. They precede other 4xx."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A branch's failure. Without a `response`, `status` is ours, such as 408 for a timeout."""

    status: int
    response: Response | None = None
    leg: Leg | None = None
    """The failed leg; it can be None without a `response`."""

    @property
    def rank(self) -> tuple[int, int]:
        """The sort key (RFC 3261 section 16.7, step 6). The lowest rank is reported."""
        if self.status >= 600:
            return 0, 0
        if self.status in _PREFERRED:
            return self.status // 100, _PREFERRED.index(self.status)
        return self.status // 100, len(_PREFERRED) + (self.response is None)


class AttemptListener(Protocol):
    """The object that starts an `Attempt`, and handles the attempt's responses and result."""

    def on_progress(self, leg: Leg, event: InviteProgress, now: float) -> None:
        """Handle a provisional response of a branch, for example ringing or early media."""

    def on_answer(self, leg: Leg, event: InviteAnswered, now: float) -> int:
        """Accept and acknowledge a 2xx and return 0. To refuse it, return a failure status.

        A refused branch is hung up and counts as failed with this status. After an accepted 2xx,
        this is not called again for the same attempt.
        """

    def on_failure(self, failure: Failure, now: float) -> None:
        """Handle the failure of the whole attempt; `failure` has the lowest `rank`."""


@dataclass(frozen=True, slots=True)
class InviteTemplate:
    """The data from which an attempt makes the INVITE for each branch."""

    request: Request
    """The caller's INVITE, from which identity and other header fields are copied."""
    to: NameAddr | None
    """The To header field; None means each target's URI."""
    offer: SessionDescription | None
    """The caller's SDP, from which our offers are built; None means INVITEs without an offer."""
    max_forwards: int
    direction: Direction | None = None
    """The direction to offer; None means that of `offer`.

    A transfer sets it, so that a hold by the earlier peer is not offered to the new peer.
    """


class Attempt:
    """One attempt to reach a callee by one or more branches."""

    def __init__(
        self, core: CallCore, listener: AttemptListener, template: InviteTemplate, deadline: float
    ) -> None:
        """Create an attempt without branches. It ends at `deadline` at the latest."""
        self._core = core
        self._listener = listener
        self._template = template
        self.deadline: float | None = deadline
        """The monotonic seconds at which ringing stops; None once the attempt is over."""
        self.branches: list[Leg] = []
        self.offers: dict[str, SessionDescription] = {}
        """The offer in the INVITE of each branch, by leg id."""
        self._early_answers: dict[tuple[str, str], SessionDescription] = {}
        """The newest provisional description of each early dialog, by leg id and To tag."""
        self._final_answers: set[tuple[str, str]] = set()
        """The keys of the final `_early_answers`, which were sent reliably (RFC 3262)."""
        self._failures: list[Failure] = []
        self.redirections: Redirections | None = None
        """Finds the targets to ring after a 3xx; None means that every 3xx is a failure."""
        self._silent_at: dict[Leg, float] = {}
        """The time at which a branch without a response is tried at its next address."""
        self._later: tuple[Target, ...] = ()
        self._later_at: float | None = None
        """The time at which the targets in `_later` ring; None if there are none."""
        self.single = True
        """True if the attempt has never rung more than one branch at a time.

        Only the provisional responses of a single branch can be passed on to the caller unchanged.
        """

    @property
    def over(self) -> bool:
        """True once the attempt was answered, has failed or was cancelled."""
        return self.deadline is None

    @property
    def next_timer(self) -> float | None:
        """The time at which `timer` must be called; None once the attempt is over."""
        if self.deadline is None:
            return None
        due = [self.deadline, *self._silent_at.values()]
        return min(due if self._later_at is None else [*due, self._later_at])

    def start(
        self, targets: Sequence[Target], now: float, later: LaterTargets | None = None
    ) -> None:
        """Ring all targets, and those of `later` if none of the first targets answers.

        `later` rings at the latest after half the time until the deadline. If there are too few
        free ports for `targets`, raise `NoPortsError` and ring no target.
        """
        if later is not None and later.targets and self.deadline is not None:
            self._later = later.targets
            self._later_at = now + min(later.after, (self.deadline - now) / 2)
        try:
            legs = self._bind(targets, now)
        except NoPortsError:
            self.deadline = None
            raise
        self._ring(legs, now)

    def _bind(self, targets: Sequence[Target], now: float) -> list[Leg]:
        """Create a leg with ports for each target, or create none and raise NoPortsError."""
        legs: list[Leg] = []
        try:
            for target in targets:
                ipv6 = is_ipv6(target.destination.host)
                legs.append(self._core.new_leg(Side.CALLEE, target, ipv6=ipv6))
        except NoPortsError:
            for leg in legs:
                self._core.end_leg(leg, EndCause.NO_PORTS, now)
            raise
        return legs

    def _ring(self, legs: Sequence[Leg], now: float) -> None:
        self.branches += legs
        self.single = self.single and len(legs) == 1
        for leg in legs:
            try:
                self._invite(leg, now)
            except (ProtocolError, SdpParseError):
                self._branch_failed(leg, Failure(503), now)
            if self.over:
                return

    def _invite(self, leg: Leg, now: float) -> None:
        core, plan, target = self._core, self._template, leg.target
        if target is None:
            return
        trust = core.trust_between(core.caller, leg)
        leg.client_invite = core.endpoint.invite(
            target.uri,
            from_=from_for(plan.request, trust),
            to=shown_address(plan.to, trust) if plan.to else NameAddr("", target.uri, ()),
            destination=target.destination,
            headers=(
                *passed_fields(plan.request.headers, trust),
                *core.timer_fields(leg),
                *(SDP_TYPE if plan.offer else ()),
            ),
            body=self._offer(leg),
            routes=target.path,
            max_forwards=plan.max_forwards,
            owner=leg,
            now=now,
        )
        if target.following is not None:
            self._silent_at[leg] = now + SILENT_S

    def _offer(self, leg: Leg) -> bytes:
        offer, direction = self._template.offer, self._template.direction
        if offer is None:
            return b""
        caller, allowed = self._core.caller.media, self._core.settings.codecs
        said = leg.media.pass_on(offer, caller, allowed, direction)
        self.offers[leg.id] = said
        return bytes(said)

    # --- responses to the INVITEs of branches -----------------------------------------------

    def progress(self, leg: Leg, event: InviteProgress, now: float) -> None:
        """Handle a provisional response to the INVITE of a branch."""
        if event.client is not leg.client_invite:
            return  # It comes from an earlier address of the branch. Our CANCEL follows.
        self._silent_at.pop(leg, None)
        if self.over or not leg.alive or event.response.status <= 100:
            return
        self._core.learn_early(leg, event.response)
        leg.learn_events(event.dialog, event.response.headers.get("Allow-Events"))
        self._core.set_ringing(leg)
        # If the response contains an offer, our PRACK would have to contain the SDP answer. We do
        # not support this.
        if event.answer_due:
            self._branch_failed(leg, Failure(502), now)
            return
        early = early_description(event.response)
        if early is not None and event.dialog is not None:
            self._keep(leg, event.dialog.id.remote_tag, event.response, early)
        self._listener.on_progress(leg, event, now)

    def answer_of(self, leg: Leg, event: InviteAnswered) -> SessionDescription | None:
        """Return the SDP in the responses to our INVITE; None if the branch's peer sent none.

        Many peers send SDP in a 183 and none in the 200. After SDP in a reliable provisional
        response, SDP in the 2xx is ignored (RFC 3261 13.2.1). Raises `ParseError` if the SDP in the
        2xx cannot be read.
        """
        dialog = leg.id, event.dialog.id.remote_tag
        early = self._early_answers.get(dialog)
        return early if dialog in self._final_answers else description(event.response) or early

    def _keep(self, leg: Leg, tag: str, response: Response, early: SessionDescription) -> None:
        if (leg.id, tag) not in self._final_answers:
            self._early_answers[leg.id, tag] = early
            if rseq_of(response) is not None:
                self._final_answers.add((leg.id, tag))

    def answered(self, leg: Leg, event: InviteAnswered, now: float) -> None:
        """Handle a 2xx to the INVITE of a branch.

        The first accepted 2xx ends the attempt and all other branches. A later 2xx, or one from an
        address that was given up, gets an ACK and then a BYE in its dialog.
        """
        if self.over or not leg.alive or event.client is not leg.client_invite:
            decline(event, now)
            return
        self._core.learn_at_answer(leg, event.response)
        refused = self._listener.on_answer(leg, event, now)
        if refused:
            decline(event, now)
            self._branch_failed(leg, Failure(refused), now)
            return
        self.deadline = None
        for other in self.branches:
            if other is not leg:
                self._core.end_leg(other, EndCause.ANSWERED_ELSEWHERE, now, ELSEWHERE)

    def failed(self, leg: Leg, event: InviteFailed, now: float) -> None:
        """Handle a failure response to a branch's INVITE, or the lack of a response.

        After a 422, repeat the INVITE with a longer session interval. After a 503 or no response,
        send it to the target's next address. After a 3xx, ring new targets. If there are none, end
        the branch as failed.
        """
        if self.over or not leg.alive or event.client is not leg.client_invite:
            return
        self._silent_at.pop(leg, None)
        if event.status == 422 and event.response is not None and leg.client_invite is not None:
            wanted = min_se(event.response)
            if wanted > leg.min_se:
                leg.min_se = wanted
                fields = self._core.timer_fields(leg)
                leg.client_invite = leg.client_invite.retry(headers=fields, now=now)
                return
        if not self._try_next_address(leg, event, now) and not self._redirect(leg, event, now):
            self._branch_failed(leg, Failure(event.status, event.response, leg), now)

    def _try_next_address(self, leg: Leg, event: InviteFailed, now: float) -> bool:
        absent = event.response is None and event.status in {408, 503}
        return (absent or event.status == 503) and self._invite_elsewhere(leg, now)

    def _invite_elsewhere(self, leg: Leg, now: float) -> bool:
        """Send a branch's INVITE to its next usable address; return False if there is none."""
        while leg.target is not None and (target := leg.target.following) is not None:
            leg.target = target
            leg.early_names.forget()
            try:
                leg.media.rebind(ipv6=is_ipv6(target.destination.host))
                self._invite(leg, now)
            except (NoPortsError, ProtocolError, SdpParseError):
                continue
            return True
        return False

    def _give_up_silent(self, now: float) -> None:
        """Try each branch whose address has been silent for `SILENT_S` at its next address.

        If the silent peer responds later, it gets a CANCEL, so that no phone there rings in vain.
        """
        for leg in [leg for leg, due in self._silent_at.items() if due <= now]:
            del self._silent_at[leg]
            silent, target = leg.client_invite, leg.target
            if not leg.alive or silent is None or target is None or silent.heard:
                continue
            self._core.emit(AddressSilent(leg.id, target.destination))
            if not self._invite_elsewhere(leg, now):
                self._branch_failed(leg, Failure(408), now)
            silent.cancel(now=now)
            if self.over:
                return

    def _redirect(self, leg: Leg, event: InviteFailed, now: float) -> bool:
        """After a 3xx, end `leg` and ring the targets of `redirections`; return whether any rings.

        If there is no target, or if too few ports are free, return False without ending `leg`.
        """
        if self.redirections is None or event.response is None:
            return False
        targets = self.redirections.targets(event.response, self.branches, now)
        try:
            legs = self._bind(targets, now)
        except NoPortsError:
            return False
        if legs:
            self._core.end_leg(leg, EndCause.FAILED, now)
            self._core.emit(CallRedirected(leg.id, targets))
            self._ring(legs, now)
        return bool(legs)

    def _ring_later(self, now: float) -> bool:
        """Ring the targets of `_later`; return False if there are none or too few free ports."""
        targets, self._later, self._later_at = self._later, (), None
        try:
            legs = self._bind(targets, now)
        except NoPortsError:
            return False
        if legs:
            self.single = self.single and not any(branch.alive for branch in self.branches)
            self._core.emit(MoreTargetsRung(targets))
            self._ring(legs, now)
        return bool(legs)

    def _branch_failed(self, leg: Leg, failure: Failure, now: float) -> None:
        self._failures.append(failure)
        self._core.end_leg(leg, EndCause.FAILED, now)
        ringing = any(branch.alive for branch in self.branches)
        if failure.status >= 600 or not (ringing or self._ring_later(now)):
            self._give_up(now)

    def timer(self, now: float) -> None:
        """Do what is due: give up, ring the later targets, or leave an address that is silent."""
        if self.deadline is not None and now >= self.deadline:
            self._failures.append(Failure(408))
            self._give_up(now)
            return
        if self.deadline is not None and self._later_at is not None and now >= self._later_at:
            self._ring_later(now)
        if self.deadline is not None:
            self._give_up_silent(now)

    def _give_up(self, now: float) -> None:
        self.cancel(EndCause.NO_ANSWER, now)
        best = min(self._failures, key=lambda failure: failure.rank)
        self._listener.on_failure(best, now)

    def cancel(self, cause: str, now: float) -> None:
        """End the attempt and its unanswered branches; the listener is not notified."""
        self.deadline = None
        for leg in self.branches:
            if not leg.talking:
                self._core.end_leg(leg, cause, now)


def early_description(response: Response) -> SessionDescription | None:
    """Return the SDP of a provisional response; None without readable SDP."""
    try:
        return description(response)
    except ParseError:
        return None
