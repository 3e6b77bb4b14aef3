"""The party at the advisor's end of one call: the phones that ring, and the one that answered.

A phone that is registered here belongs to a known user. Behind a PBX, the PBX names the phone that
answered (P-Asserted-Identity, Remote-Party-ID). Until it does, any advisor of the group may have
the call.
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
    """The parties at the advisor's end, with the names for screen-pops and the manifest."""

    def __init__(self, router: Router, route: Route) -> None:
        self._router = router
        self._behind_the_pbx = tuple(Party("", user) for user in route.advisors)
        self.ringing: tuple[Party, ...] = ()
        self.advisor: Party | None = None
        self.group: tuple[Party, ...] = ()
        """The advisors of whom one has the call, while the PBX that answered has named none."""
        self.target: Target | None = None
        """The target with which the caller talks, or talked last."""
        self.identity = ""
        """The user part by which a PBX names the party; "" until it does."""

    @property
    def candidates(self) -> tuple[Party, ...]:
        """The group while the call is answered and its advisor not known; else ()."""
        return self.group if self.advisor and not self.advisor.user else ()

    @property
    def actor(self) -> str:
        """The actor on the advisor's side, for the manifest: `phone:EXTENSION`, or `system`."""
        return f"phone:{self.advisor.extension}" if self.advisor else "system"

    def concern(self, *, extension: str = "", user: str = "") -> bool:
        """Return whether the call is with this phone or advisor, or still rings there."""
        parties = (self.advisor,) if self.advisor else self.ringing
        return any(
            (extension and p.extension == extension) or (user and p.user == user) for p in parties
        )

    def dialled(self, targets: Iterable[Target]) -> None:
        """Set the parties that the route rings: the targets, and the advisors behind the PBX."""
        self.rings_at(targets)
        self.ringing += self._behind_the_pbx

    def rings_at(self, targets: Iterable[Target]) -> None:
        """Replace the parties that ring now."""
        self.ringing = tuple(Party(target.name, target.user) for target in targets)

    def rings_again(self, target: Target) -> None:
        """Ring the party that had the call again, under the name that a PBX gave it."""
        self.ringing = (self._party(target),)

    def also_rings_at(self, targets: Iterable[Target]) -> None:
        """Add the targets to which a phone has sent the call."""
        before = self.ringing
        self.rings_at(targets)
        self.ringing = (*before, *self.ringing)

    def answered(self, target: Target) -> Party:
        """Set and return the party that answered at `target`."""
        self.ringing, self.target = (), target
        self.advisor = self._party(target)
        self.group = () if target.is_phone else self._behind_the_pbx
        return self.advisor

    def replaced(self, target: Target) -> Party:
        """Set and return the new party at the advisor's end."""
        self.ringing, self.group, self.target, self.identity = (), (), target, ""
        self.advisor = self._party(target)
        return self.advisor

    def resumed(self, answered: AnsweredState) -> Party:
        """Restore the state from before a restart; without an advisor, return a nameless party."""
        self.advisor, self.group = answered.advisor, answered.group
        self.target = answered.target.target() if answered.target is not None else None
        self.identity = answered.identity
        return answered.advisor or Party("")

    def claim(self, advisor: Party) -> bool:
        """Set an advisor who says that the call is theirs; return whether this was accepted.

        It is accepted from a member of the group while the PBX has not named the advisor.
        """
        ours = any(party.user == advisor.user for party in self.group)
        if not ours or self.advisor is None or self.advisor.user:
            return False
        self.advisor, self.group = advisor, ()
        return True

    def identified(self, event: sip.IdentityChanged) -> bool:
        """Take the name that a PBX gives the advisor's end; return True if it is new.

        A phone that was rung by its registration keeps its name, whatever it says.
        """
        user = event.identity.uri.dialled
        if event.side is not sip.Side.CALLEE or not user or user == self.identity:
            return False
        if self.target is not None and self.target.is_phone:
            return False
        self.identity = user
        return True

    def renamed(self, *, somebody_else: bool) -> None:
        """Give the party its name from `identity`; clear the group if it is another party."""
        if somebody_else:
            self.group = ()
        if self.target is not None:
            self.advisor = self._party(self.target)

    def _party(self, target: Target) -> Party:
        if target.is_phone or not self.identity:
            return Party(target.name, target.user)
        return Party(self.identity, self._router.user_of(self.identity))


def is_handover(before: str, destination: DestinationClass) -> bool:
    """Return whether a name that a PBX gives during a call means a new party.

    A second name does. A first name does unless it belongs to the centre or is unknown, because a
    PBX that gave no name at the answer may name the advisor later.
    """
    return bool(before) or destination not in {DestinationClass.CENTRE, DestinationClass.UNKNOWN}
