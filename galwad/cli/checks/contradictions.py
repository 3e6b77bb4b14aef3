"""Checks of settings that are valid, but do not do what they seem to say.

A process starts with such settings all the same, because an upgrade must not stop a service that
worked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations
from typing import Final
from urllib.parse import urlsplit

from config.values import Pattern, Peer
from galwad.cli.checks import CheckResult, fault, warning
from galwad.settings import Settings
from galwad.settings.switch import Destination, Route, Trunk
from galwad.switch.edge.routing import is_exact, spellings
from net.addresses import is_loopback
from telephony.errors import ParseError
from telephony.sip.message.uri import Uri

_TENANTS: Final = frozenset({"common", "organizations", "consumers"})
"""Microsoft's names for tenants that are not one organisation."""
_PAYMENT: Final = re.compile(
    r"(?:^|[^a-z])(?:pay|payment|payline|paymentline|card|cardline|dtmf|pci|talu|taliad|taliadau)"
    r"(?:s?[^a-z]|s?$)",
    re.IGNORECASE,
)
"""Words in a destination's `match` or target that suggest a payment line."""
_OURS: Final = "galwad.invalid"
"""Stands for the host of our phones, which the settings do not name."""


def check_contradictions(settings: Settings) -> Iterator[CheckResult]:
    """Yield a result for each contradiction."""
    yield from _same_peers(settings.trunks)
    yield from _hidden_routes(settings.routes)
    yield from _hidden_destinations(settings.destinations)
    yield from _payment_lines(settings)
    yield from _unrecorded_routes(settings)
    yield from _media_ports(settings)
    yield from _payment_codes(settings)
    yield from _origin(settings)
    yield from _issuer(settings)
    yield from _retained_lines(settings)


def _retained_lines(settings: Settings) -> Iterator[CheckResult]:
    known = {route.line.casefold() for route in settings.routes if route.line}
    for rule in settings.retention:
        for line in rule.lines:
            if line.casefold() not in known:
                yield warning(
                    "retention",
                    f"no route has the line {line}, which [[retention]] {rule.category} names",
                    "write the line as in [[routes]]; keep the name of a line that is gone while "
                    "there are recordings of it",
                )


def _same_peers(trunks: Sequence[Trunk]) -> Iterator[CheckResult]:
    for first, second in combinations(trunks, 2):
        if None not in {first.transport, second.transport} and first.transport != second.transport:
            continue
        for peer in second.peers:
            if any(_overlap(peer, each) for each in first.peers):
                yield warning(
                    "trunks",
                    f"{peer} belongs to the trunks {first.name} and {second.name}: its calls count "
                    f"as those of {first.name}",
                    "name each address in one trunk only, or give each trunk its own transport",
                )


def _overlap(one: Peer, other: Peer) -> bool:
    if None not in {one.port, other.port} and one.port != other.port:
        return False
    same = one.network.version == other.network.version
    return same and one.network.overlaps(other.network)


def _hidden_routes(routes: Sequence[Route]) -> Iterator[CheckResult]:
    for place, route in enumerate(routes):
        hides = _hiding(route.called, [each.called for each in routes[:place]])
        if hides is not None:
            yield warning(
                "routes",
                f"the route {route.called} is never used: the route {hides}, which is before it, "
                "matches all of its calls",
                f"put the route {route.called} before {hides}, or remove one of the two",
            )


def _hidden_destinations(destinations: Sequence[Destination]) -> Iterator[CheckResult]:
    for place, destination in enumerate(destinations):
        before = destinations[:place]
        hides = _hiding(destination.match, [each.match for each in before])
        first = next((each for each in before if each.match == hides), None)
        if first is None:
            continue
        found = fault if first.class_ != destination.class_ else warning
        yield found(
            "destinations",
            f"the destination {destination.match} ({destination.class_}) is never used: "
            f"{first.match} ({first.class_}), which is before it, matches the same parties",
            f"put {destination.match} before {first.match}, or remove one of the two",
        )


def _hiding(pattern: Pattern, before: Sequence[Pattern]) -> Pattern | None:
    """Return the first pattern in `before` that matches all that `pattern` matches, or None.

    Regular expressions are compared only in simple cases, so None proves nothing.
    """
    text = pattern.text
    if text.startswith("/"):
        return next((each for each in before if each.text in {"*", "/.*/"}), None)
    prefix = text.endswith("*")
    forms = [text.removesuffix("*")] if prefix else list(spellings(text))
    return next((each for each in before if _covers(each, forms, prefix=prefix)), None)


def _covers(pattern: Pattern, forms: Sequence[str], *, prefix: bool) -> bool:
    if not prefix:
        return any(map(pattern.matches, forms))
    is_wide = pattern.text.endswith("*") and not pattern.text.startswith("/")
    return pattern.text == "/.*/" or (is_wide and forms[0].startswith(pattern.text[:-1]))


def _payment_lines(settings: Settings) -> Iterator[CheckResult]:
    """Yield a result for each destination without the class "payment" that seems to need it.

    It is a fault if the destination leads to a payment line. It is a warning if its class is
    "centre" and its name suggests a payment line.
    """
    lines = {
        _place(uri): each
        for each in settings.destinations
        if each.class_ == "payment"
        for uri in each.target or ()
    }
    for destination in settings.destinations:
        if destination.class_ == "payment":
            continue
        places = map(_place, destination.target or ())
        line = next((lines[place] for place in places if place in lines), None)
        if line is not None:
            yield fault(
                "destinations",
                f"{destination.match} counts as {destination.class_}, but leads to the payment "
                f"line {line.match}",
                f'give {destination.match} the class "payment"',
            )
        elif destination.class_ == "centre" and _seems_payment(destination):
            yield warning(
                "destinations",
                f'{destination.match} seems to be a payment line, but counts as "centre": what a '
                "caller says there is recorded",
                'give this destination the class "payment"; if it is not a payment line, rename it',
            )


def _unrecorded_routes(settings: Settings) -> Iterator[CheckResult]:
    by_place = {_place(uri): each for each in settings.destinations for uri in each.target or ()}
    for route in settings.routes:
        places = [*map(_place, route.target or ()), *(f"{each}@" for each in route.ring or ())]
        for place in filter(None, places):
            found = by_place.get(place) or _listed(settings, route, place)
            if found is not None and found.class_ != "centre":
                yield warning(
                    "routes",
                    f"the route {route.called} leads to {found.match}, which counts as "
                    f"{found.class_}: calls on this route are not recorded",
                    f'if the centre answers there, give {found.match} the class "centre"',
                )


def _listed(settings: Settings, route: Route, place: str) -> Destination | None:
    """Return the destination whose class applies to a party that a route rings, or None.

    The destination "*" does not count. For our phones, and for routes with advisors, a destination
    counts only if it has the exact number.
    """
    user, _, host = place.rpartition("@")
    found = settings.find_destination(f"sip:{user}@{host or _OURS}", *spellings(user))
    if not user or found is None or found.match.text == "*":
        return None
    needs_exact = route.advisors or not host
    return None if needs_exact and not is_exact(found, user) else found


def _place(target: str) -> str:
    """Return `user@host` of a SIP URI, in small letters; "" if the URI cannot be read."""
    try:
        uri = Uri.parse(target)
    except ParseError:
        return ""
    return f"{uri.dialled}@{uri.host}".lower()


def _seems_payment(destination: Destination) -> bool:
    names = destination.match.text, *map(_place, destination.target or ())
    return any(map(_PAYMENT.search, names))


def _media_ports(settings: Settings) -> Iterator[CheckResult]:
    ports = settings.media.ports
    for listener in settings.sip.listen:
        if listener.transport == "udp" and ports.first <= listener.port <= ports.last:
            yield fault(
                "media",
                f"[media] ports {ports} include the port {listener.port} of [sip] listen",
                f"choose a range without {listener.port}, such as 20000-21999",
            )


def _payment_codes(settings: Settings) -> Iterator[CheckResult]:
    dialled = {phone.extension for phone in settings.phones}
    dialled |= {each for route in settings.routes for each in route.ring or ()}
    dialled |= {each.match.text for each in settings.destinations}
    dialled |= {each.called.text for each in settings.routes}
    yield from dialled_codes(settings, dialled)


def dialled_codes(settings: Settings, dialled: AbstractSet[str]) -> Iterator[CheckResult]:
    """Yield a fault for each code for payments that is also one of the numbers `dialled`."""
    codes = (settings.recording.payment_code_on, settings.recording.payment_code_off)
    for code in filter(None, codes):
        if code in dialled:
            yield fault(
                "payment codes",
                f"{code} pauses or resumes a recording, and is also a number that can be dialled",
                "choose a code that is not a number of a phone, a route or a destination",
            )


def _origin(settings: Settings) -> Iterator[CheckResult]:
    given = urlsplit(settings.desk.public_origin or "")
    if given.scheme == "http" and not is_loopback(given.hostname or ""):
        yield fault(
            "tls",
            f"[desk] public_origin is {settings.desk.public_origin}: passwords would pass the "
            "network in clear",
            'write "https://…", and give the page or the proxy before it a certificate',
        )


def _issuer(settings: Settings) -> Iterator[CheckResult]:
    section = settings.sign_in
    if section is None:
        return
    found = _TENANTS.intersection(urlsplit(section.issuer).path.lower().split("/"))
    if found:
        yield fault(
            "sign-in",
            f'[sign_in] issuer is {section.issuer}: "{min(found)}" is not one organisation',
            f'write the id of your own tenant in place of "{min(found)}": '
            "https://login.microsoftonline.com/ID/v2.0",
        )
