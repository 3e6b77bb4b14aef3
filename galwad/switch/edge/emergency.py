"""Emergency calls: the numbers and service URNs that call for help, and the route to the service.

If one of our phones or a trusted trunk makes such a call, the switch does not refuse it because of
overload (see `EventDispatcher`), and media ports are reserved for it (`telephony.aio.ports`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from galwad.settings import Settings
from galwad.settings.switch import Destination, Route
from galwad.switch.edge.locations import Locations
from telephony.sip.message.uri import Uri


def called_number(settings: Settings, uri: Uri) -> str:
    """Return the number that a Request-URI calls.

    `urn:service:sos` and its sub-services, such as `urn:service:sos.fire` (RFC 5031), call the
    first emergency number in the settings, whose operator asks for the service.
    """
    numbers = settings.sip.emergency_numbers
    is_sos = uri.service.partition(".")[0] == "sos"
    return numbers[0] if is_sos and numbers else uri.dialled


def emergency_detector(numbers: Iterable[str]) -> Callable[[bytes], bool]:
    """Return a function that tells from the first bytes of a message if it is an emergency call.

    It recognises the usual forms of `numbers`, and `urn:service:sos`, without parsing the message.
    """
    known = b"|".join(re.escape(number.encode()) for number in numbers)
    if not known:
        return lambda _: False
    pattern = re.compile(
        rb"INVITE (?:urn:service:sos\b|(?:sips?:|tel:)(?:" + known + rb")[@; ])", re.IGNORECASE
    )
    return lambda message: pattern.match(message) is not None


def route_to(destination: Destination) -> Route:
    """Return the route by which a phone reaches a destination in the settings that has a target."""
    return Route(called=destination.match, target=destination.target, srtp=destination.srtp)


class EmergencyRoutes:
    """Finds the way out of the centre for emergency calls."""

    def __init__(self, settings: Settings, locations: Locations) -> None:
        self._settings = settings
        self._locations = locations

    def route(self, called: str) -> Route | None:
        """Return the route for a call to the emergency number `called`; None if no route fits.

        Only a route with `target` leads out of the centre. A route of another emergency number can
        carry the call too, because all reach the same service. A route with the pattern "*" is used
        only if no other route fits.
        """
        numbers = dict.fromkeys((called, *self._settings.sip.emergency_numbers))
        found = [route for number in numbers for route in self._carriers(number)]
        named = (route for route in found if route.called.text != "*")
        return next(named, found[0] if found else None)

    def _carriers(self, number: str) -> Iterator[Route]:
        for route in self._settings.routes:
            if route.target is not None and route.called.matches(number):
                yield route
        for destination in self._settings.destinations:
            if destination.target is not None and destination.matches(
                number, f"sip:{number}@galwad.invalid"
            ):
                yield route_to(destination)

    @property
    def fault(self) -> str:
        """The reason why no emergency call can leave the centre now.

        It is "" if one can leave, or if the settings have no emergency numbers.
        """
        numbers = self._settings.sip.emergency_numbers
        if not numbers:
            return ""
        route = self.route(numbers[0])
        if route is None:
            return f"no route with a target for {', '.join(numbers)}"
        addresses = list(chain(*map(self._locations, map(Uri.parse, route.target or ()))))
        if not addresses:
            return f"no target of the route {route.called.text} has a known address"
        if all(map(self._locations.is_silent, addresses)):
            return f"no target of the route {route.called.text} answers"
        return ""
