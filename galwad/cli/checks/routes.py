"""Checks of where calls go: targets that DNS does not know, and a way out for emergency calls."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping

from galwad.cli.checks.result import CheckResult, fault, fine, warning
from galwad.settings import EXAMPLE, Settings
from galwad.switch.edge.emergency import EmergencyRoutes
from galwad.switch.edge.locations import DnsClient, Locations, speaks_of
from galwad.switch.edge.routing import check_uris
from telephony.aio.resolver import Resolver
from telephony.sip.message.uri import Uri

_PATIENCE_S = 10.0


def check(settings: Settings, dns: DnsClient | None = None) -> Iterator[CheckResult]:
    """Look up the targets of routes and destinations, and check the route of emergency calls.

    `dns` is the client for DNS lookups; the default is the system's resolver.
    """
    wrong = check_uris(settings)
    for each in wrong:
        yield fault("routes", each, f"see [[routes]] and [[destinations]] in {EXAMPLE}")
    if wrong:
        return
    registrars = [trunk.registrar for trunk in settings.trunks if trunk.registrar]
    uris = {text: Uri.parse(text) for text in (*settings.target_uris, *registrars)}
    locations = Locations(uris.values(), speaks_of(settings.sip), dns or Resolver())
    asyncio.run(_look_up(locations))
    yield from _targets(uris, locations)
    yield from _emergency(settings, EmergencyRoutes(settings, locations))


def _targets(uris: Mapping[str, Uri], locations: Locations) -> Iterator[CheckResult]:
    for text, uri in uris.items():
        if not locations(uri):
            yield fault(
                "routes",
                f"{text}: no address is known, so no call goes there",
                f"correct the name, or [sip] listen for its transport; dig {uri.host} and "
                f"dig _sip._udp.{uri.host} SRV show what DNS knows",
            )


async def _look_up(locations: Locations) -> None:
    with contextlib.suppress(TimeoutError):  # a name whose lookup is not over has no address
        async with asyncio.timeout(_PATIENCE_S):
            await locations.refresh()


def _emergency(settings: Settings, routes: EmergencyRoutes) -> Iterator[CheckResult]:
    numbers = ", ".join(settings.sip.emergency_numbers)
    if not numbers:
        return
    problem = routes.fault
    if problem:
        yield warning(
            "emergency",
            f"an emergency call of a phone gets nowhere: {problem}",
            f'add [[routes]] with called = "{settings.sip.emergency_numbers[0]}" and a target; or, '
            "if no phone dials here, [sip] emergency_numbers = []",
        )
        return
    for number in settings.sip.emergency_numbers:
        route = routes.route(number)
        if route is not None:
            places = ", then ".join(route.target or ())
            yield fine("emergency", f"{number} goes to {places}")
