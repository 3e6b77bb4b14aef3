"""Routing: the targets of a called number, and the destination class of a party or transfer.

The switch dials only the targets in the settings and registered phones. A Refer-To is looked up in
the settings, and its user part also among the phones. The host in a Refer-To is never dialled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import structlog

from callerid.errors import NumberError
from callerid.number import PhoneNumber
from config.values import Pattern
from galwad.settings import Settings
from galwad.settings.switch import Destination, Route, SrtpRule, Trunk
from galwad.switch.edge.emergency import EmergencyRoutes, route_to
from galwad.switch.edge.locations import DnsClient, Locations, speaks_of
from galwad.switch.edge.phones import Phones
from recording.policy import DestinationClass
from telephony.aio.resolver import Resolver
from telephony.b2bua import NO_GRANTS, Grants, LaterTargets, Target
from telephony.errors import ParseError
from telephony.sdp import Srtp
from telephony.sip.events import Address
from telephony.sip.message.header_values import NameAddr
from telephony.sip.message.uri import Uri, escape_user

AWAY_RING_AFTER_S = 20.0
"""The longest time in seconds for which a route with `skip_away` leaves out users who are away."""
KEPT_S = 3600.0
"""The seconds for which the report of users who are away counts after the last desk is gone."""
_HOME = "+44"
_TELEPHONE = re.compile(r"(?:\+|0|44)[0-9]{7,}")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TransferTarget:
    """The new party of a transfer: its destination class, and the SIP targets to ring."""

    destination: DestinationClass
    targets: tuple[Target, ...]
    label: str
    """The pattern in the settings that matches the target, or the extension of one of our phones.

    For any other target, the label is "". The label is thus never an outside number that a person
    dialled.
    """


class AwayUsers:
    """The users who are away, on a break or in wrap-up, as the desk has reported them.

    A route with `skip_away` rings the phones of these users last. While no desk is connected, no
    break can be ended, so the switch forgets the report after a while. `now` is a monotonic time in
    seconds.
    """

    def __init__(self) -> None:
        self._users: frozenset[str] = frozenset()
        self._forget_at: float | None = None

    def set(self, users: Iterable[str]) -> None:
        """Replace all users who are away, because a connected desk has reported them."""
        self._users, self._forget_at = frozenset(users), None

    def keep_until_forgotten(self, now: float) -> None:
        """Forget the present report after `KEPT_S` seconds, unless `set` is called before."""
        if self._forget_at is None:
            self._forget_at = now + KEPT_S

    def has(self, user: str, now: float) -> bool:
        """Return whether this user is away; False for "", the user of a phone without a user."""
        known = self._forget_at is None or now < self._forget_at
        return known and user in self._users


class Router:
    """Finds the routes, targets and destination classes that the settings define."""

    def __init__(
        self,
        settings: Settings,
        phones: Phones,
        is_open: Callable[[Address], bool] = lambda _: True,
        dns: DnsClient | None = None,
        away: AwayUsers | None = None,
    ) -> None:
        """Parse the SIP URIs in the settings.

        `is_open` returns False for a closed connection, on which no phone can be rung. `dns` is by
        default the system's resolver. A route with `skip_away` rings users in `away` last.
        """
        self._settings = settings
        self.phones = phones
        self._is_open = is_open
        self._away = away or AwayUsers()
        self._uris = {text: Uri.parse(text) for text in settings.target_uris}
        self._places = {
            (uri.dialled, uri.host.lower()): destination
            for destination in reversed(settings.destinations)
            for uri in map(self._uris.__getitem__, destination.target or ())
            if uri.dialled
        }
        """The destinations by the user and the host of their targets."""
        self._registrars = [Uri.parse(t.registrar) for t in settings.trunks if t.registrar]
        self.locations = Locations(
            (*self._uris.values(), *self._registrars), speaks_of(settings.sip), dns or Resolver()
        )
        self.emergency = EmergencyRoutes(settings, self.locations)

    def route(
        self, called: str, *, by_phone: bool = False, emergency: bool = False
    ) -> Route | None:
        """Return the route of the called number, or None if there is no route.

        A phone (`by_phone`) also reaches the other phones and the settings' destinations. With
        `emergency`, a route that can carry an emergency call goes first.
        """
        carrier = self._emergency_route(called) if emergency else None
        route = carrier or self._settings.find_route(*spellings(called))
        return self._internal(called) if route is None and by_phone else route

    def _emergency_route(self, number: str) -> Route | None:
        is_emergency = number in self._settings.sip.emergency_numbers
        return self.emergency.route(number) if is_emergency else None

    def _internal(self, called: str) -> Route | None:
        destination = self._dialled(called)
        if destination is not None and destination.target is not None:
            return route_to(destination)
        if not self.phones.known(called):
            return None
        return Route(called=Pattern.parse(called), ring=(called,))

    def targets(self, route: Route, called: str, now: float) -> tuple[Target, ...]:
        """Return a route's targets; () if none of its phones or addresses can be rung now."""
        if route.ring is not None:
            return tuple(t for e in route.ring for t in self.phone_targets(e, now, route.srtp))
        return self._at(route.target, called, route.srtp)

    def ring_order(
        self, route: Route, called: str, now: float
    ) -> tuple[tuple[Target, ...], LaterTargets | None]:
        """Return the targets that a new call rings at first, and the targets that ring later.

        On a route with `skip_away`, the phones of users who are away ring later. If no other phone
        can be rung, all ring at first: a forgotten break must not leave a call unanswered.
        """
        targets = self.targets(route, called, now)
        if not route.skip_away:
            return targets, None
        first = tuple(each for each in targets if not self._away.has(each.user, now))
        if len(first) == len(targets):
            return targets, None
        if not first:
            log.warning("route.all_away", line=route.line, phones=len(targets))
            return targets, None
        later = tuple(each for each in targets if each not in first)
        log.info("route.skips_away", line=route.line, phones=len(later))
        return first, LaterTargets(later, AWAY_RING_AFTER_S)

    def refer(self, refer_to: NameAddr, now: float) -> TransferTarget | None:
        """Return the destination class and targets of a Refer-To; None if no target can be rung."""
        user = refer_to.uri.dialled
        carrier = self._emergency_route(user)
        if carrier is not None:
            targets = self.targets(carrier, user, now)
            label = carrier.called.text
            return TransferTarget(DestinationClass.EXTERNAL, targets, label) if targets else None
        uri = f"sip:{user}@{refer_to.uri.host}"
        destination = self._settings.find_destination(uri, *spellings(user))
        phone = tuple(self.phone_targets(user, now))
        if destination is not None:
            targets = self._at(destination.target, user, destination.srtp)
            targets = targets or tuple(self.phone_targets(user, now, destination.srtp))
            targets = targets or self._routed(user, now)
            kind = DestinationClass(destination.class_)
            return TransferTarget(kind, targets, destination.match.text) if targets else None
        if phone:
            return TransferTarget(DestinationClass.CENTRE, phone, user)
        targets = self._routed(user, now)
        kind, label = self._class_of_route(user)
        return TransferTarget(kind, targets, label) if targets else None

    def divert(self, contact: NameAddr, now: float) -> tuple[Target, ...]:
        """Return the targets to ring when a ringing party redirects the call with a 3xx response.

        `contact` is an address in the response. Only targets within the centre are returned, so
        that no outside party is recorded.
        """
        referral = self.refer(contact, now)
        inside = referral is not None and referral.destination is DestinationClass.CENTRE
        return referral.targets if referral is not None and inside else ()

    def classify(self, identity: Uri) -> DestinationClass:
        """Return the destination class of the party that a PBX has connected with the caller.

        `identity` is the URI by which the PBX identifies this party. If it is the number of a
        route, the class is that of the phones or the target that this route rings.
        """
        user = identity.dialled
        destination: Destination | None = self._settings.find_destination(
            f"sip:{user}@{identity.host}", *spellings(user)
        )
        if destination is not None:
            return DestinationClass(destination.class_)
        return self._class_of(user)[0]

    def place(self, dialled: str) -> tuple[DestinationClass, str]:
        """Return the class of a number that was dialled or named, and the pattern that matches it.

        Without a pattern, the second value is the extension of one of our phones, or "". A number
        that only a route matches has the class of what this route rings.
        """
        destination = self._dialled(dialled)
        if destination is not None:
            return DestinationClass(destination.class_), destination.match.text
        return self._class_of(dialled)

    def _class_of(self, user: str) -> tuple[DestinationClass, str]:
        """Return the class and the label of a number that no destination matches."""
        if self.phones.known(user):
            return DestinationClass.CENTRE, user
        return self._class_of_route(user)

    def _class_of_route(self, user: str) -> tuple[DestinationClass, str]:
        """Return the class of what the route of this number rings, and the route's pattern.

        Without a route, or if the route rings parties of several classes, the class is unknown and
        the pattern is "". A route whose PBX rings advisors of the centre has the class `CENTRE`.
        """
        route = self.route(user)
        if route is None:
            return DestinationClass.UNKNOWN, ""
        classes = self._classes(route, user)
        kind = classes.pop() if len(classes) == 1 else DestinationClass.UNKNOWN
        return kind, "" if kind is DestinationClass.UNKNOWN else route.called.text

    def _classes(self, route: Route, user: str) -> set[DestinationClass]:
        """Return the classes of the parties that a route rings, except phones without account."""
        found = set()
        for extension in route.ring or ():
            destination = self._dialled(extension)
            if destination is not None:
                found.add(DestinationClass(destination.class_))
            elif self.phones.known(extension):
                found.add(DestinationClass.CENTRE)
        uris = (self._uris[text] for text in route.target or ())
        return found | {
            self._class_at(uri, route, user) or DestinationClass.UNKNOWN for uri in uris
        }

    def class_of_target(self, route: Route, called: str, target: Target) -> DestinationClass | None:
        """Return the class that the settings give to a target that `route` rings, or None.

        A phone has a class only if the settings list exactly its extension. Any other target has
        the class of its URI. If the settings list exactly the dialled number `called`, the target
        has the class of this number instead, unless the target is a payment line.
        """
        if target.is_phone:
            destination = self._dialled(target.name)
            if destination is None or not is_exact(destination, target.name):
                return None
            return DestinationClass(destination.class_)
        found = None if route.target is None else self._class_at(target.uri, route, called)
        own = self._dialled(called)
        if own is None or not is_exact(own, called) or found is DestinationClass.PAYMENT:
            return found
        return DestinationClass(own.class_)

    def _class_at(self, uri: Uri, route: Route, called: str) -> DestinationClass | None:
        """Return the class of the party at a URI that `route` rings; None if it is not known.

        If the settings name advisors behind the URI, the class is the centre. This does not apply
        if a destination has exactly the URI's number and the caller dialled another number. It does
        not apply either to a feature code of the PBX, such as `*68` for parking.
        """
        dialled = uri.dialled or called
        destination = self._settings.find_destination(
            f"sip:{dialled}@{uri.host}", *spellings(dialled)
        )
        exact = destination is not None and is_exact(destination, dialled)
        if destination is None or destination.match.text == "*":
            destination = self._places.get((uri.dialled, uri.host.lower()))
            exact = destination is not None
        is_code = not uri.dialled and called.startswith(("*", "#"))
        if route.advisors and not is_code and not (exact and dialled != called):
            return DestinationClass.CENTRE
        return DestinationClass(destination.class_) if destination is not None else None

    def _dialled(self, number: str) -> Destination | None:
        uri = f"sip:{number}@galwad.invalid"
        return self._settings.find_destination(uri, *spellings(number))

    def hosts(self) -> set[str]:
        """Return the known IP addresses of the targets and registrars in the settings."""
        uris = (*self._uris.values(), *self._registrars)
        return {there.host for uri in uris for there in self.locations(uri)}

    def _routed(self, user: str, now: float) -> tuple[Target, ...]:
        route = self.route(user)
        return () if route is None else self.targets(route, user, now)

    def phone_targets(
        self, extension: str, now: float, srtp: SrtpRule | None = None
    ) -> tuple[Target, ...]:
        """Return the devices of an extension that can be rung, with the highest q value first."""
        user = self.phones.user_of(extension)
        rule = Srtp(self._settings.srtp_rule_of(extension, srtp))
        return tuple(
            Target(
                binding.uri,
                binding.address,
                name=extension,
                user=user,
                trust=True,
                is_phone=True,
                srtp=rule,
                path=binding.path,
            )
            for binding in self.phones.bindings(extension, now)
            if self._is_open(binding.address)
        )

    def _at(
        self, uris: Sequence[str] | None, user: str, srtp: SrtpRule | None
    ) -> tuple[Target, ...]:
        """Return one target that stands for all these URIs; () if no address is known."""
        found = [(self._uris[text], self.locations(self._uris[text])) for text in uris or ()]
        found.sort(key=lambda place: all(map(self.locations.is_down, place[1])))
        targets = [
            self._target(uri, addresses, user, srtp) for uri, addresses in found if addresses
        ]
        if not targets:
            return ()
        first, *others = targets
        return (replace(first, alternatives=tuple(others)) if others else first,)

    def _target(
        self, uri: Uri, addresses: tuple[Address, ...], user: str, srtp: SrtpRule | None
    ) -> Target:
        dialled = uri if uri.user else replace(uri, user=escape_user(user) or None)
        first, *others = addresses
        return Target(
            dialled,
            first,
            name=dialled.user or "",
            trust=all(self._is_trusted(address) for address in addresses),
            grants=self.grants_at(*addresses),
            srtp=Srtp(srtp or self._settings.media.srtp),
            others=tuple(others),
        )

    def is_line(self, number: str) -> bool:
        """Return whether a route of the settings has exactly this number."""
        lines = (route.called.text for route in self._settings.routes)
        return not set(spellings(number)).isdisjoint(lines)

    def same_trunk(self, one: Address, other: Address) -> bool:
        """Return whether both addresses belong to the same trusted trunk, such as one PBX."""
        trunks = [self._settings.find_trunk(*address[:3]) for address in (one, other)]
        return trunks[0] is not None and trunks[0].trusted and trunks[0] is trunks[1]

    def grants_at(self, *addresses: Address) -> Grants:
        """Return what the settings allow the peer at these addresses to send to phones.

        The result is `NO_GRANTS` if the addresses belong to trunks with different rules.
        """
        found = {grants_of(self._settings.find_trunk(*address[:3])) for address in addresses}
        return found.pop() if len(found) == 1 else NO_GRANTS

    def _is_trusted(self, address: Address) -> bool:
        """Return whether this address belongs to a trusted trunk (RFC 3324 section 2.3)."""
        trunk = self._settings.find_trunk(*address[:3])
        return trunk is not None and trunk.trusted


def spellings(called: str) -> tuple[str, ...]:
    """Return the forms in which the settings may write a called number, each once.

    They are `called` itself, the international form (+44…) and the national form (0…): trunks use
    all of them. Extensions and codes have one form.

    A number abroad has the form 00… in place of the national form. A number at home does not have
    it, so that a pattern such as "00*" does not match a number at home.
    """
    if _TELEPHONE.fullmatch(called) is None:
        return (called,)
    try:
        number = PhoneNumber.parse(called)
    except NumberError:
        return (called,)
    forms = [called, number.e164]
    if number.e164.startswith(_HOME):
        forms.append("0" + number.e164.removeprefix(_HOME))
    else:
        forms.append("00" + number.e164.removeprefix("+"))
    return tuple(dict.fromkeys(forms))


def is_exact(destination: Destination, number: str) -> bool:
    """Return whether a destination that matches `number` stands for nothing but this number."""
    text = destination.match.text
    return text in {number, *spellings(number)} or text.startswith(("sip:", "sips:"))


def grants_of(trunk: Trunk | None) -> Grants:
    """Return what the settings allow a trunk to send to phones, beyond what every peer may send."""
    if trunk is None or not trunk.trusted:
        return NO_GRANTS
    return Grants(
        headers=frozenset(name.lower() for name in trunk.headers),
        ring_tones=trunk.ring_tones,
        auto_answer=trunk.auto_answer,
        messages=trunk.messages,
    )


def check_uris(settings: Settings) -> list[str]:
    """Return an error for each invalid SIP URI in the settings, for `galwad check`."""
    faults = []
    registrars = [trunk.registrar for trunk in settings.trunks if trunk.registrar]
    for text in (*settings.target_uris, *registrars):
        try:
            Uri.parse(text)
        except ParseError as error:
            faults.append(f"{text}: {error}")
    return faults
