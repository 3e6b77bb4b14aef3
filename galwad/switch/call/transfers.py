"""Transfers of a call: their effect on the recording, and the party that has the call afterwards.

This module handles each transfer, blind or attended, before the event loop reads anything else. If
the class of the destination requires it, the gate therefore shuts before the caller can hear the
new party. While a new party only rings and the advisor still talks with the caller, the two of them
are recorded, unless the settings or a payment destination require an earlier end.
"""

from __future__ import annotations

from collections.abc import Callable

from galwad.switch.call.clocks import Now
from galwad.switch.call.context import LiveCall, Transfer
from galwad.switch.edge.admission import Admission
from galwad.switch.edge.routing import Router
from recording.policy import DestinationClass, Trigger
from telephony.b2bua import JoinPlan, Leg, Target, plan_join
from telephony.b2bua import events as sip
from telephony.sdp import Srtp
from telephony.sip.message.header_values import NameAddr
from telephony.sip.ua.uas import InviteServer


class CallTransfers:
    """Carries out the transfers of one call.

    The call keeps a `TransferState`, and makes an object of this class for each use. If the call
    kept this object, only the garbage collector could free the two: they refer to each other.
    """

    def __init__(
        self,
        call: LiveCall,
        router: Router,
        find: Callable[[str], LiveCall | None],
        *,
        ceases_at_request: bool,
    ) -> None:
        """Continue with the call's `transfer_state`; `find` returns the live call with an id.

        If `ceases_at_request` is true, a transfer to a party outside shuts the gate at the request.
        Otherwise, only a transfer to a payment destination does.
        """
        self._call = call
        self._state = call.transfer_state
        self._router = router
        self._find = find
        self._ceases_at_request = ceases_at_request

    def requested(self, event: sip.TransferRequested, now: Now) -> None:
        """Handle a REFER, which asks for an attended transfer if Replaces names a consultation."""
        call = self._call
        plan = call.legs.join_plan(event.request_id)
        other = call.legs.call_named_by_replaces(event.request_id)
        if plan is not None:
            self._join(event, plan, now)
        elif event.side is not sip.Side.CALLEE:
            self._refuse(event, now)
        elif event.replaces is not None and other is None:
            # Usually, the consulted party has hung up. So the caller stays with the advisor.
            self._refuse(event, now)
        elif other is not None:
            self._send_after(event, self._find(other.call_id), now)
        else:
            self._send(event, now)

    def order(self, refer_to: NameAddr, actor: str, now: Now) -> str:
        """Transfer the caller for the page, as a REFER would; return why that failed, or ""."""
        call = self._call
        if call.legs.joined is None or call.legs.transferring:
            return "transferring"
        referral = self._router.refer(refer_to, now.mono)
        if referral is None:
            call.log.info("transfer.refused")
            return "unknown_number"
        self._expect(
            Transfer(referral.destination, referral.label, Trigger.PAGE_TRANSFER, actor), now
        )
        call.advisor_side.rings_at(referral.targets)
        begun = call.legs.transfer(referral.targets, now.mono)
        if not begun:
            call.advisor_side.rings_at(())
            self._back(now)
        call.publish()
        call.settle(now)
        return "" if begun else "transferring"

    def _refuse(self, event: sip.TransferRequested, now: Now) -> None:
        self._call.log.info("transfer.refused")
        self._call.legs.refuse_transfer(event.request_id, 603, now.mono)

    def _send(self, event: sip.TransferRequested, now: Now) -> None:
        referral = self._router.refer(event.refer_to, now.mono)
        if referral is None:
            self._refuse(event, now)
            return
        self._expect(Transfer(referral.destination, referral.label), now)
        self._ring(event, referral.targets, now)

    def _send_after(
        self, event: sip.TransferRequested, consultation: LiveCall | None, now: Now
    ) -> None:
        """End the advisor's unanswered consultation, and ring the consulted party for the caller.

        Refuse the REFER if there is no unanswered consultation, or if its route has no targets now.
        """
        rings = consultation is not None and not consultation.legs.answered
        targets = consultation.targets(now.mono) if consultation is not None and rings else ()
        if consultation is None or not targets:
            self._refuse(event, now)
            return
        far_end = class_of_far_end(self._router, consultation, sip.Side.CALLEE)
        self._expect(Transfer(*far_end), now)
        if self._ring(event, targets, now):
            consultation.hangup('SIP;cause=200;text="Transferred"', now)

    def _ring(self, event: sip.TransferRequested, targets: tuple[Target, ...], now: Now) -> bool:
        """Ring the targets for the caller, and return whether the REFER was accepted.

        If it was not accepted, undo the REFER's effect on the recording.
        """
        call = self._call
        call.advisor_side.rings_at(targets)
        accepted = call.legs.accept_transfer(event.request_id, targets, now.mono)
        if not accepted:
            call.advisor_side.rings_at(())
            self._back(now)
        call.publish()
        return accepted

    def _join(self, event: sip.TransferRequested, plan: JoinPlan, now: Now) -> None:
        """Join the advisor's two calls. The joined call gets the pauses of the call that ends."""
        plan = self._prefer_recorded(plan)
        keeper = self._find(plan.kept_leg.call.call_id)
        giver = self._find(plan.ending_leg.call.call_id)
        if keeper is None or giver is None:
            self._refuse(event, now)
            return
        self._absorb_causes(keeper, giver, plan, now)
        target = plan.moved_leg.target or giver.caller_target()
        self._call.legs.join(event.request_id, plan, target, now.mono)
        for each in (keeper, giver):
            each.settle(now)

    def _prefer_recorded(self, plan: JoinPlan) -> JoinPlan:
        """Return a plan in which the recorded call continues, if possible; otherwise `plan`."""
        keeper = self._find(plan.kept_leg.call.call_id)
        giver = self._find(plan.ending_leg.call.call_id)
        if keeper is None or giver is None:
            return plan
        better = giver.admission.recorded and not keeper.admission.recorded
        return (plan_join(plan.ending_leg, plan.kept_leg) or plan) if better else plan

    def replace_advisor(
        self, old: Leg, invite: InviteServer, admission: Admission, now: Now
    ) -> None:
        """Give the advisor's place in the call to the sender of an INVITE with Replaces."""
        call, before = self._call, self._call.legs.joined
        caller = admission.caller
        user = (*caller.asserted, caller.from_user)[0]
        target = Target(
            uri=next(
                (contact.uri for contact in invite.request.contacts), invite.request.from_.uri
            ),
            destination=invite.source,
            name=user,
            user=self._router.phones.user_of(user),
            trust=admission.trusted,
            grants=self._router.grants_at(invite.source),
            is_phone=admission.phone,
            srtp=Srtp(admission.srtp),
        )
        call.legs.replace_callee(old, invite, target, now.mono)
        if call.legs.joined != before:
            self._shut_for(call, Transfer(*self._router.place(user)), now)
        call.settle(now)

    def _absorb_causes(self, keeper: LiveCall, giver: LiveCall, plan: JoinPlan, now: Now) -> None:
        """Shut the gate of `keeper` if the moving party or a pause of `giver` requires it.

        A pause keeps its holder, its trigger and the person who paused.
        """
        moves = class_of_far_end(self._router, giver, plan.moved_leg.side)
        self._shut_for(keeper, Transfer(*moves), now)
        for pause in giver.recording.pauses:
            keeper.recording.shut(pause, now.arrived)

    def _expect(self, transfer: Transfer, now: Now) -> None:
        """Prepare for a transfer whose target rings first, while the advisor is still in the call.

        A target outside the centre shuts the gate when it answers or the advisor hangs up. If the
        settings require it or the target takes payments, the gate shuts now.
        """
        self._state.begin()
        destination = transfer.destination
        at_once = self._ceases_at_request or destination is DestinationClass.PAYMENT
        if at_once or self._state.outside:
            self._shut_for(self._call, transfer, now)
            return
        self._call.log.info("transfer.accepted", destination=destination)
        self._state.referred_to, self._state.ringing = destination, transfer

    def leg_ended(self, now: Now) -> None:
        """If the advisor hung up while the target still rings, let the transfer take effect now."""
        if self._call.legs.joined is None:
            self._reached(now)

    def _reached(self, now: Now) -> None:
        """If a transfer's target has been ringing, apply the transfer to the recording."""
        ringing, self._state.ringing = self._state.ringing, None
        if ringing is not None:
            self._refer(self._call, ringing, now)

    @staticmethod
    def _refer(call: LiveCall, transfer: Transfer, now: Now) -> None:
        actor = transfer.actor or call.advisor_side.actor
        call.recording.referred(
            transfer.destination, actor, transfer.label, now, trigger=transfer.trigger
        )

    def _shut_for(self, call: LiveCall, transfer: Transfer, now: Now) -> None:
        call.log.info("transfer.accepted", destination=transfer.destination)
        state = call.transfer_state
        state.referred_to, state.ringing = transfer.destination, None
        if not state.outside:
            self._refer(call, transfer, now)

    def completed(self, leg_id: str, target: Target, now: Now) -> None:
        """Update the call and its recording after a transfer to `target`."""
        self._call.log.info("transfer.completed")
        self._reached(now)
        state, centre = self._state, DestinationClass.CENTRE
        inside = state.referred_to is centre
        away = state.outside or state.identity_class not in {None, centre}
        state.outside, state.identity_class = not inside, None
        state.complete(state.referred_to)
        if inside and away:
            self._call.come_back_to(leg_id, target, now)
        else:
            self._call.talk_with(leg_id, target, now)

    def failed(self, event: sip.TransferFailed, now: Now) -> None:
        """Give the call back to the advisor after a failed transfer.

        If the advisor has hung up, the advisor's phone rings again.
        """
        call = self._call
        call.log.info("transfer.failed", status=event.status, advisor_gone=event.transferor_gone)
        self._state.failed = event.status
        if not event.transferor_gone:
            call.advisor_side.rings_at(())
            self._back(now)
        elif call.advisor_side.target is not None:
            call.advisor_side.rings_again(call.advisor_side.target)
            call.legs.ring_again((call.advisor_side.target,), now.mono)
        call.publish()

    def recalled(self, leg_id: str, target: Target, now: Now) -> None:
        """Give the call back to an advisor who had hung up and was rung again."""
        self._back(now)
        self._call.talk_with(leg_id, target, now)

    def _back(self, now: Now) -> None:
        """Undo the effect of a failed transfer on the recording.

        If the caller talked with a party outside the centre even before this transfer, change
        nothing.
        """
        self._state.ringing = None
        if not self._state.outside:
            self._call.recording.transfer_failed(now)


def class_of_far_end(
    router: Router, call: LiveCall, side: sip.Side
) -> tuple[DestinationClass, str]:
    """Return the destination class of the party on one `side` of a call, and its label or "".

    A caller at one of our phones has the class of the extension. Any other caller is external. At
    the advisor's end, a transfer outside gives the class of its target. Without such a transfer,
    the name from a PBX gives the class. Without a name, the dialled number does.
    """
    admission, state = call.admission, call.transfer_state
    if side is sip.Side.CALLER:
        caller = admission.caller.from_user
        return router.place(caller) if admission.phone else (DestinationClass.EXTERNAL, "")
    if state.outside:
        # The party at the advisor's end is outside the centre. If a transfer back to the centre is
        # in progress, `referred_to` is already `CENTRE`, and the party's class is not known.
        inside = state.referred_to is DestinationClass.CENTRE
        return DestinationClass.UNKNOWN if inside else state.referred_to, ""
    named = state.identity_class or call.advisor_side.named_class(is_first=True)
    return router.place(admission.called) if named is None else (named, "")
