"""Who is at the advisor's end of one call: whom it rings at, and who has it.

A phone that registered here is whose it is. Behind a PBX, the PBX says who answered
(P-Asserted-Identity, Remote-Party-ID); until it does, the whole group may have the call.
"""

from __future__ import annotations

from collections.abc import Iterable

from config.sections import Route
from galwad.messages import Party
from galwad.switch.memo import Talk
from galwad.switch.routing import Router
from recording.policy import DestinationClass
from telephony.b2bua import Target, target_from
from telephony.b2bua import events as sip


class Parties:
    """The people at the advisor's end, as pops and the manifest name them."""

    def __init__(self, router: Router, route: Route) -> None:
        self._router = router
        self._behind_the_pbx = tuple(Party("", user) for user in route.advisors)
        self.ringing: tuple[Party, ...] = ()
        self.advisor: Party | None = None
        self.group: tuple[Party, ...] = ()
        """One of them has the call that a PBX answered, as long as it names nobody."""
        self.target: Target | None = None
        """Whom the caller talks with, or talked with last."""
        self.identity = ""
        """What a PBX calls them; "" until it says so."""

    @property
    def candidates(self) -> tuple[Party, ...]:
        """The group, unless it is known who has the call."""
        return self.group if self.advisor and not self.advisor.user else ()

    @property
    def actor(self) -> str:
        """Who acts on the advisor's side, for the manifest."""
        return f"phone:{self.advisor.extension}" if self.advisor else "system"

    def concern(self, *, extension: str = "", user: str = "") -> bool:
        """Whether the call is with (or, unanswered, rings at) this phone or advisor."""
        parties = (self.advisor,) if self.advisor else self.ringing
        return any(
            (extension and p.extension == extension) or (user and p.user == user) for p in parties
        )

    def dialled(self, targets: Iterable[Target]) -> None:
        """The call's route rings these, and whoever is behind them."""
        self.rings_at(targets)
        self.ringing += self._behind_the_pbx

    def rings_at(self, targets: Iterable[Target]) -> None:
        """Who is rung now."""
        self.ringing = tuple(Party(target.name, target.user) for target in targets)

    def rings_again(self, target: Target) -> None:
        """Whoever had the call is rung for it, under the name that a PBX gave them."""
        self.ringing = (self._party(target),)

    def also_rings_at(self, targets: Iterable[Target]) -> None:
        """A phone sent the call to these."""
        before = self.ringing
        self.rings_at(targets)
        self.ringing = (*before, *self.ringing)

    def answered(self, target: Target) -> Party:
        """Somebody at `target` has the call."""
        self.ringing, self.target = (), target
        self.advisor = self._party(target)
        self.group = () if target.pinned else self._behind_the_pbx
        return self.advisor

    def replaced(self, target: Target) -> Party:
        """The caller has somebody else at the other end from now on."""
        self.ringing, self.group, self.target, self.identity = (), (), target, ""
        self.advisor = self._party(target)
        return self.advisor

    def resumed(self, talk: Talk) -> Party:
        """As before a restart; the party is nameless if nobody has the call."""
        self.advisor, self.group = talk.advisor, talk.group
        self.target, self.identity = target_from(talk.target), talk.identity
        return talk.advisor or Party("")

    def taken(self, advisor: Party) -> bool:
        """One of the group says that the call is theirs; a name that the PBX gave comes first."""
        ours = any(party.user == advisor.user for party in self.group)
        if not ours or self.advisor is None or self.advisor.user:
            return False
        self.advisor, self.group = advisor, ()
        return True

    def identified(self, event: sip.IdentityChanged) -> bool:
        """A PBX names whoever is at the advisor's end; True if that is news.

        A phone that we rang by its registration is who it is; what it says changes nothing.
        """
        user = event.identity.uri.dialled
        if event.side is not sip.Side.ADVISOR or not user or user == self.identity:
            return False
        if self.target is not None and self.target.pinned:
            return False
        self.identity = user
        return True

    def renamed(self, *, somebody_else: bool) -> None:
        """Whoever has the call goes by `identity` now."""
        if somebody_else:
            self.group = ()
        if self.target is not None:
            self.advisor = self._party(self.target)

    def _party(self, target: Target) -> Party:
        if target.pinned or not self.identity:
            return Party(target.name, target.user)
        return Party(self.identity, self._router.user_of(self.identity))


def is_handover(before: str, destination: DestinationClass) -> bool:
    """Whether a name that a PBX gives in mid-call means somebody else, not the first name.

    A PBX that named nobody at the answer may name the advisor later; but a department is one,
    whoever was there before.
    """
    return bool(before) or destination not in {DestinationClass.CENTRE, DestinationClass.UNKNOWN}
