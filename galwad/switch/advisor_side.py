"""The parties at the advisor's end of one call: those that ring, and the one that answered.

A phone that is registered with the switch belongs to a known user. If the call goes to a PBX, the
PBX names the phone that answered (P-Asserted-Identity, Remote-Party-ID). Until the PBX has named a
phone, it is not known which of the advisors behind the PBX (the group) has the call.
"""

from __future__ import annotations

from collections.abc import Iterable

from config.sections import Route
from galwad.messages import Party
from galwad.switch.checkpoint import AnsweredState
from galwad.switch.routing import Router
from recording.policy import DestinationClass
from telephony.b2bua import Target
from telephony.b2bua import events as sip


class AdvisorSide:
    """The parties at the advisor's end of one call.

    The names of these parties are for screen-pops and for the manifest.
    """

    def __init__(self, router: Router, route: Route) -> None:
        self._router = router
        self._behind_the_pbx = tuple(Party("", user) for user in route.advisors)
        self.ringing: tuple[Party, ...] = ()
        self.advisor: Party | None = None
        self.group: tuple[Party, ...] = ()
        """The group of advisors behind a PBX that has answered the call. One of them has the call.

        The tuple is empty if no PBX has answered, after an advisor has claimed the call, and after
        a new party has got the call.
        """
        self.target: Target | None = None
        """The target that most recently talked with the caller; None until the call is answered."""
        self.identity = ""
        """The user part of the URI by which a PBX identifies the party at the advisor's end.

        It is "" if no PBX has identified the party.
        """

    @property
    def candidates(self) -> tuple[Party, ...]:
        """The group of advisors behind the PBX, while it is not known which of them has the call.

        The tuple is empty before the answer, and when it is known which advisor has the call.
        """
        return self.group if self.advisor and not self.advisor.user else ()

    @property
    def actor(self) -> str:
        """The party at the advisor's end, in the form in which the manifest names an actor.

        It is `phone:EXTENSION` after the answer, and `system` before the answer.
        """
        return f"phone:{self.advisor.extension}" if self.advisor else "system"

    def concern(self, *, extension: str = "", user: str = "") -> bool:
        """Return whether the call belongs to the phone `extension` or to the user `user`.

        Before the answer, a call belongs to each phone that rings for it and to the user of this
        phone. After the answer, it belongs only to the phone that answered and to this phone's
        user.
        """
        parties = (self.advisor,) if self.advisor else self.ringing
        return any(
            (extension and p.extension == extension) or (user and p.user == user) for p in parties
        )

    def dialled(self, targets: Iterable[Target]) -> None:
        """Set the parties that ring now: those at `targets`, and the route's advisors at a PBX."""
        self.rings_at(targets)
        self.ringing += self._behind_the_pbx

    def rings_at(self, targets: Iterable[Target]) -> None:
        """Set the parties that ring now: the phones at `targets`, and no other party."""
        self.ringing = tuple(Party(target.name, target.user) for target in targets)

    def rings_again(self, target: Target) -> None:
        """Set the party at `target` as the only ringing party. This party had the call before.

        If a PBX has given a name to the party, the party keeps this name.
        """
        self.ringing = (self._party(target),)

    def also_rings_at(self, targets: Iterable[Target]) -> None:
        """Add parties that ring now: the targets to which a phone has redirected the call."""
        before = self.ringing
        self.rings_at(targets)
        self.ringing = (*before, *self.ringing)

    def answered(self, target: Target) -> Party:
        """Make the party that answered at `target` the call's advisor, and return this party.

        If `target` is a PBX that has named the party, the returned party has the name from the PBX.
        Otherwise, it has the name of `target`.
        """
        self.ringing, self.target = (), target
        self.advisor = self._party(target)
        self.group = () if target.is_phone else self._behind_the_pbx
        return self.advisor

    def replaced(self, target: Target) -> Party:
        """Make the party at `target` the new party at the advisor's end, and return this party."""
        self.ringing, self.group, self.target, self.identity = (), (), target, ""
        self.advisor = self._party(target)
        return self.advisor

    def joined_with(self, party: Party) -> None:
        """Make `party` the call's advisor, because a PBX has joined its call with this call."""
        self.group, self.identity, self.advisor = (), party.extension, party

    def resumed(self, answered: AnsweredState) -> Party:
        """Restore the state `answered` after a restart; return the party at the advisor's end.

        If there was no advisor, the returned party has no extension and no user.
        """
        self.advisor, self.group = answered.advisor, answered.group
        self.target = answered.target.target() if answered.target is not None else None
        self.identity = answered.identity
        return answered.advisor or Party("")

    def claim(self, advisor: Party) -> bool:
        """Make `advisor` the call's advisor, at this advisor's own request.

        Return True if this was done. Do nothing and return False if `advisor` is not in `group`, or
        if it is already known which advisor has the call.
        """
        ours = any(party.user == advisor.user for party in self.group)
        if not ours or self.advisor is None or self.advisor.user:
            return False
        self.advisor, self.group = advisor, ()
        return True

    def identified(self, event: sip.IdentityChanged) -> bool:
        """Store a name from a PBX for the party at the advisor's end; return True if it is new.

        If the call's target is a phone that is registered with us, ignore the name and return
        False.
        """
        user = event.identity.uri.dialled
        if event.side is not sip.Side.CALLEE or not user or user == self.identity:
            return False
        if self.target is not None and self.target.is_phone:
            return False
        self.identity = user
        return True

    def renamed(self, *, somebody_else: bool) -> None:
        """Use the name in the attribute `identity` for the party at the advisor's end.

        If `somebody_else` is true, the name belongs to a new party. The call is then no longer with
        an advisor of the group, so the group is cleared.
        """
        if somebody_else:
            self.group = ()
        if self.target is not None:
            self.advisor = self._party(self.target)

    def _party(self, target: Target) -> Party:
        if target.is_phone or not self.identity:
            return Party(target.name, target.user)
        return Party(self.identity, self._router.user_of(self.identity))


def is_handover(before: str, destination: DestinationClass) -> bool:
    """Return whether the name that a PBX gives during a call belongs to a new party.

    `before` is the previous name from the PBX; "" if there was none. `destination` is the
    destination class of the name. If there was a previous name, the name belongs to a new party.
    If there was none, the name belongs to a new party only if `destination` is neither centre nor
    unknown. With one of these two classes, it may be the name of the advisor who answered.
    """
    return bool(before) or destination not in {DestinationClass.CENTRE, DestinationClass.UNKNOWN}
