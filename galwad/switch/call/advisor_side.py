"""The parties at the advisor's end of one call: those that ring, and the party that has the call.

If the call goes to a PBX, the PBX can name the phone that answered (P-Asserted-Identity,
Remote-Party-ID). Until then, any advisor behind the PBX (the group) may have the call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from galwad.messages import Party
from galwad.settings.switch import Route
from galwad.switch.call.checkpoints import AnsweredState
from galwad.switch.edge.callers import spelled
from galwad.switch.edge.routing import Router
from recording.policy import DestinationClass, Trigger
from telephony.b2bua import Target
from telephony.b2bua import events as sip
from telephony.sip.message.uri import Uri, escape_user


@dataclass(frozen=True, slots=True)
class PartyName:
    """The name that a PBX gives to the party on one leg."""

    uri: Uri
    asserted: bool
    """False if the name is only the address in a Contact, which does not say who the party is."""
    stated: bool = True
    """False if the PBX has named only parties that did not answer. The name is then anonymous."""

    @property
    def user(self) -> str:
        """The user part of the name."""
        return self.uri.dialled


class AdvisorSide:
    """The parties at the advisor's end of one call.

    Their names are for screen-pops and the manifest. A name from a PBX can also shut the gate.
    """

    def __init__(
        self, router: Router, route: Route, called: str = "", *, is_outgoing: bool = False
    ) -> None:
        """Start without a party. `called` is the number that the caller dialled.

        `is_outgoing` is true if an advisor makes the call. This side is then the called party.
        """
        self._router = router
        self._route = route
        self._called = called
        self.is_outgoing = is_outgoing
        self._behind_the_pbx = tuple(Party("", user) for user in route.advisors)
        self.ringing: tuple[Party, ...] = ()
        self.advisor: Party | None = None
        self.group: tuple[Party, ...] = ()
        """The advisors behind the PBX that answered, while any of them may have the call."""
        self.target: Target | None = None
        """The target that most recently talked with the caller; None until the call is answered."""
        self._leg_id = ""
        """The leg of `target`; "" until the call is answered."""
        self._names: dict[str, PartyName] = {}
        """The newest name that a PBX has given to the party on each leg, by leg id.

        A name can arrive before the party on this leg talks with the caller.
        """
        self.asserted = ""
        """As `identity`, but never the address in a Contact."""
        self.identity = ""
        """The user part of a PBX's name for the party that has the call; "" without a name."""

    @property
    def candidates(self) -> tuple[Party, ...]:
        """The `group` while the call is answered and its advisor is not known; otherwise empty."""
        return self.group if self.advisor and not self.advisor.user else ()

    @property
    def actor(self) -> str:
        """The party at the advisor's end, in the form in which the manifest names an actor.

        It is `phone:EXTENSION` after the answer, and `system` before the answer. The manifest is
        not encrypted, so a name from a PBX that the settings do not have becomes `pbx`.
        """
        if self.advisor is None:
            return "system"
        extension = self.advisor.extension
        if self.asserted and self._router.place(extension)[0] is DestinationClass.UNKNOWN:
            return "pbx"
        return f"phone:{extension}"

    def concern(self, *, extension: str = "", user: str = "") -> bool:
        """Return whether the call belongs to the phone `extension` or to the user `user`.

        Before the answer, it belongs to each phone that rings for it. After the answer, it belongs
        only to the party that has the call now.
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
        """Set the parties that ring now: those at `targets`, and no other party."""
        self.ringing = tuple(Party(target.name, target.user) for target in targets)

    def rings_again(self, target: Target) -> None:
        """Set the party at `target` as the only ringing party. This party had the call before.

        If a PBX has given a name to the party, the party keeps this name.
        """
        self.ringing = (self._party(target),)

    @property
    def name(self) -> PartyName | None:
        """The name of the party that talks with the caller; None if no PBX has named this party.

        After a restart of the switch, a name from a Contact is missing until the PBX sends it
        again.
        """
        return self._names.get(self._leg_id)

    @property
    def trigger(self) -> Trigger:
        """The trigger of the gap that begins if the present party's name shuts the gate."""
        is_stated = self.name is None or self.name.stated
        return Trigger.IDENTITY if is_stated else Trigger.UNNAMED

    def also_rings_at(self, targets: Iterable[Target]) -> None:
        """Add the parties at `targets`, which now ring too, for example after a redirection."""
        before = self.ringing
        self.rings_at(targets)
        self.ringing = (*before, *self.ringing)

    def answered(self, leg_id: str, target: Target) -> Party:
        """Make the party that answered at `target` the call's advisor, and return this party."""
        party = self.replaced(leg_id, target)
        self.group = () if target.is_phone else self._behind_the_pbx
        return party

    def replaced(self, leg_id: str, target: Target) -> Party:
        """Make the party at `target` the new party at the advisor's end, and return this party.

        The party has the name from a PBX, if that name is believed (see `_believes`). Otherwise, it
        has the name of `target`.
        """
        self.ringing, self.group, self.target, self._leg_id = (), (), target, leg_id
        if self.name is not None and not self._believes(self.name, target):
            del self._names[leg_id]
        name = self.name
        self.identity = name.user if name is not None else ""
        self.asserted = self.identity if name is not None and name.asserted else ""
        self.advisor = self._party(target)
        return self.advisor

    def joined_with(self, party: Party) -> None:
        """Make `party` the call's advisor: a PBX has joined the party's call with this call."""
        self.group, self.advisor = (), party
        self.identity = self.asserted = party.extension

    def resumed(self, leg_id: str, answered: AnsweredState) -> Party:
        """Restore the state `answered` after a restart; return the party at the advisor's end.

        `leg_id` is the leg of this party; "" if the caller talks with no party. If there was no
        advisor, the returned party has no extension and no user.
        """
        self._leg_id = leg_id
        self.advisor, self.group = answered.advisor, answered.group
        self.target = answered.target.target() if answered.target is not None else None
        self.identity = self.asserted = answered.identity
        if answered.identity:
            uri = Uri(user=escape_user(answered.identity), host="galwad.invalid")
            self._names[leg_id] = PartyName(uri, asserted=True)
        return answered.advisor or Party("")

    def claim(self, advisor: Party) -> bool:
        """Make `advisor` the call's advisor, at this advisor's own request.

        Return False if `advisor` is not in `group`, or if the advisor who has the call is known.
        """
        ours = any(party.user == advisor.user for party in self.group)
        if not ours or self.advisor is None or self.advisor.user:
            return False
        self.advisor, self.group = advisor, ()
        return True

    def named(self, event: sip.IdentityChanged) -> bool:
        """Store the name that a PBX gives to a party at the advisor's end.

        Return True if the party talks with the caller and did not have this name before. A name
        that was known only from a Contact counts as new when the PBX asserts it. If the party does
        not talk with the caller yet, its name is stored for later. A name that is not believed is
        ignored (see `_believes`).
        """
        asserted, stated = event.source.lower() != "contact", bool(event.source)
        name = PartyName(event.identity.uri, asserted, stated)
        if event.side is not sip.Side.CALLEE or not name.user:
            return False
        if event.leg_id != self._leg_id or self.target is None:
            self._names[event.leg_id] = name
            return False
        if not self._believes(name, self.target):
            return False
        self._names[event.leg_id] = name
        if spelled(name.user) == spelled(self.asserted if name.asserted else self.identity):
            return False
        self.identity = name.user
        if name.asserted:
            self.asserted = name.user
        return True

    def _believes(self, name: PartyName, target: Target) -> bool:
        """Return whether the peer at `target` may give its party this name.

        Our phones have the names of their accounts. Only a trusted peer, or a peer behind which
        the settings name advisors, may say that its party is in the centre.
        """
        if target.is_phone:
            return False
        trusted = target.trust or bool(self._route.advisors)
        return trusted or self._router.classify(name.uri) is not DestinationClass.CENTRE

    def renamed(self, *, somebody_else: bool) -> bool:
        """Use the name in the attribute `identity` for the party at the advisor's end.

        If `somebody_else` is true, the name belongs to a new party. The call is then no longer with
        an advisor of the group, so the group is cleared. Return True if `advisor` has changed.
        """
        before = self.advisor
        if somebody_else:
            self.group = ()
        if self.target is not None:
            self.advisor = self._party(self.target)
        return self.advisor != before

    def class_at_answer(self) -> tuple[DestinationClass, Trigger]:
        """Return the class of the party that has answered, and the trigger of a gap for this party.

        The name decides the class (see `class_of_name`). If the name decides nothing, the target
        gives the class that the settings have for it. If the settings have none, or if an advisor
        has called an external or unknown party, the class is the centre: the call is recorded.
        """
        named = self.class_of_name(is_first=True)
        if named is not None:
            return named, self.trigger
        known = None
        if self.target is not None:
            known = self._router.class_of_target(self._route, self._called, self.target)
        if known is None or self._is_whom_an_advisor_calls(known):
            known = DestinationClass.CENTRE
        return known, Trigger.ROUTE

    def class_of_name(self, *, is_first: bool) -> DestinationClass | None:
        """Return the class of the present party's name, if it decides whether to record the party.

        `is_first` is true if it is the first name of this party. Return None if the name decides
        nothing (see `named_class`), or if an advisor has called an external or unknown party.
        """
        destination = self.named_class(is_first=is_first)
        if destination is None or self._is_whom_an_advisor_calls(destination):
            return None
        return destination

    def named_class(self, *, is_first: bool) -> DestinationClass | None:
        """Return the class of the name that a PBX has given to the party that talks.

        Return None if there is no name, if the name is only an address in a Contact, or if it is
        the first name and only repeats the number that was dialled.
        """
        name, target = self.name, self.target
        if name is None or not name.asserted or target is None:
            return None
        dialled = {spelled(number) for number in (self._called, target.name) if number}
        if is_first and spelled(name.user) in dialled:
            return None
        return self._router.classify(name.uri)

    def _is_whom_an_advisor_calls(self, destination: DestinationClass) -> bool:
        outside = {DestinationClass.UNKNOWN, DestinationClass.EXTERNAL}
        return self.is_outgoing and destination in outside

    def _party(self, target: Target) -> Party:
        if target.is_phone or not self.identity:
            return Party(target.name, target.user)
        return Party(self.identity, self._router.phones.user_of(self.identity))
