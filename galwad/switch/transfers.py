"""Where a call is sent on to: what that is to its recording, and who has it afterwards.

Every transfer comes through here, blind or attended, so that the gate shuts (or not) by the
class of the place before anything else happens. How legs are rung and joined is the b2bua's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from galwad.switch.admission import Admission
from galwad.switch.board import Switchboard
from recording.policy import DestinationClass, Trigger
from telephony.b2bua import Joint, Leg, Target, joint_of
from telephony.b2bua import events as sip
from telephony.sdp import Srtp
from telephony.sip.uas import InviteServer

if TYPE_CHECKING:
    from galwad.switch.call import LiveCall


class Transfers:
    """The transfers of one call."""

    def __init__(self, call: LiveCall, board: Switchboard) -> None:
        self._call = call
        self._board = board
        self.referred_to = DestinationClass.UNKNOWN
        """Where the last REFER led."""
        self.away = False
        """The caller was handed on to somebody outside the centre, and talks with them."""
        self.named: DestinationClass | None = None
        """What a PBX made of the far end since, by another name."""

    def requested(self, event: sip.TransferRequested, now: float) -> None:
        """A REFER: blind, or with a Replaces that names a consultation."""
        call = self._call
        joint = call.legs.joint(event.request_id)
        other = call.legs.consulted(event.request_id)
        if joint is not None:
            self._join(event, joint, now)
        elif event.side is not sip.Side.ADVISOR:
            self._refuse(event, now)
        elif event.replaces is not None and other is None:
            self._refuse(event, now)  # who was consulted is gone: the advisor keeps the caller
        elif other is not None:
            self._send_after(event, self._board.find(other.call_id), now)
        else:
            self._send(event, now)

    def _refuse(self, event: sip.TransferRequested, now: float) -> None:
        self._call.log.info("transfer.refused")
        self._call.legs.refuse_transfer(event.request_id, 603, now)

    def _send(self, event: sip.TransferRequested, now: float) -> None:
        referral = self._board.router.refer(event.refer_to, now)
        if referral is None:
            self._refuse(event, now)
            return
        self._leave_for(referral.destination, referral.label)
        self._ring(event, referral.targets, now)

    def _send_after(
        self, event: sip.TransferRequested, consultation: LiveCall | None, now: float
    ) -> None:
        """Who was consulted has not answered yet: ring them for the caller instead."""
        rings = consultation is not None and not consultation.legs.answered
        targets = consultation.targets(now) if consultation is not None and rings else ()
        if consultation is None or not targets:
            self._refuse(event, now)
            return
        self._leave_for(*self._place_of(consultation, sip.Side.ADVISOR))
        if self._ring(event, targets, now):
            consultation.hangup('SIP;cause=200;text="Transferred"')

    def _ring(self, event: sip.TransferRequested, targets: tuple[Target, ...], now: float) -> bool:
        """Ring them; False if the REFER could not be accepted, and the call is as it was."""
        call = self._call
        call.parties.rings_at(targets)
        accepted = call.legs.accept_transfer(event.request_id, targets, now)
        if not accepted:
            call.parties.rings_at(())
            self._back()
        call.publish()
        return accepted

    def _join(self, event: sip.TransferRequested, joint: Joint, now: float) -> None:
        """Let the two calls become one; what stood against recording either stands."""
        joint = self._kept(joint)
        keeper = self._board.find(joint.keeper.call.call_id)
        giver = self._board.find(joint.giver.call.call_id)
        if keeper is None or giver is None:
            self._refuse(event, now)
            return
        keeper.transfers.take_in(giver, joint)
        target = joint.moved.target or giver.caller_target()
        self._call.legs.join(event.request_id, joint, target, now)
        for each in (keeper, giver):
            each.settle(now)

    def _kept(self, joint: Joint) -> Joint:
        """The other way round, if that is how a recording goes on that would end."""
        keeper = self._board.find(joint.keeper.call.call_id)
        giver = self._board.find(joint.giver.call.call_id)
        if keeper is None or giver is None:
            return joint
        better = giver.admission.recorded and not keeper.admission.recorded
        return (joint_of(joint.giver, joint.keeper) or joint) if better else joint

    def taken_over(self, old: Leg, invite: InviteServer, admission: Admission, now: float) -> None:
        """An INVITE with Replaces asks for the advisor's place: a PBX's join, or a pick-up."""
        call, before = self._call, self._call.legs.joined
        caller = admission.caller
        user = (*caller.asserted, caller.from_user)[0]
        target = Target(
            uri=next(
                (contact.uri for contact in invite.request.contacts), invite.request.from_.uri
            ),
            destination=invite.source,
            name=user,
            user=self._board.router.user_of(user),
            trust=admission.trusted,
            pinned=admission.phone,
            srtp=Srtp(admission.srtp),
        )
        call.legs.take_over(old, invite, target, now)
        if call.legs.joined != before:
            self._leave_for(*self._board.router.place(user))
        call.settle(now)

    def take_in(self, giver: LiveCall, joint: Joint) -> None:
        """Shut the gate as far as the other call's far end, or its payment holds, ask for it."""
        self._leave_for(*self._place_of(giver, joint.moved.side))
        for holder in giver.recording.holders:
            self._call.recording.shut(holder, Trigger.PHONE, self._call.parties.actor)

    def _place_of(self, giver: LiveCall, side: sip.Side) -> tuple[DestinationClass, str]:
        """What the far end of another call is now.

        Where it was sent on to, or what a PBX has made of it since; else what was dialled, or who
        called.
        """
        router, admission, there = self._board.router, giver.admission, giver.transfers
        if side is sip.Side.CALLER:
            caller = admission.caller.from_user
            return router.place(caller) if admission.phone else (DestinationClass.EXTERNAL, "")
        if there.away:
            inside = there.referred_to is DestinationClass.CENTRE  # where they wait to be sent to
            return DestinationClass.UNKNOWN if inside else there.referred_to, ""
        return router.place(admission.called) if there.named is None else (there.named, "")

    def _leave_for(self, destination: DestinationClass, label: str) -> None:
        call = self._call
        call.log.info("transfer.accepted", destination=destination)
        self.referred_to = destination
        if not self.away:
            call.recording.referred(destination, call.parties.actor, label)

    def completed(self, leg_id: str, target: Target) -> None:
        """The caller talks with somebody else now."""
        self._call.log.info("transfer.completed")
        inside = self.referred_to is DestinationClass.CENTRE
        if inside and self.away:
            self._call.recording.returned()
        self.away, self.named = not inside, None
        self._call.talk_with(leg_id, target)

    def failed(self, event: sip.TransferFailed, now: float) -> None:
        """The target did not answer: the advisor has the call again, or is rung again."""
        call = self._call
        call.log.info("transfer.failed", status=event.status, advisor_gone=event.advisor_gone)
        if not event.advisor_gone:
            call.parties.rings_at(())
            self._back()
        elif call.parties.target is not None:
            call.parties.rings_again(call.parties.target)
            call.legs.ring_again((call.parties.target,), now)
        call.publish()

    def recalled(self, leg_id: str, target: Target) -> None:
        """The advisor who had sent the call on, and hung up, has it again."""
        self._back()
        self._call.talk_with(leg_id, target)

    def _back(self) -> None:
        """The call is with whoever tried to send it on; outside the centre that changes nothing."""
        if not self.away:
            self._call.recording.transfer_failed()
