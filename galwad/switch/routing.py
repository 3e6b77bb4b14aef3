"""Where calls go: called number to targets, and a transfer's target to its class.

Only what the settings name, or a phone that is registered, is ever dialled: a Refer-To
contributes the user part that is looked up here, never an address.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import ip_address

import structlog

from config.sections import Destination, Route, SrtpRule
from config.settings import Settings
from galwad.switch.phones import Phones
from recording.policy import DestinationClass
from telephony.b2bua import Target
from telephony.errors import ParseError
from telephony.sdp import Srtp
from telephony.sip.core import address_of
from telephony.sip.events import Address
from telephony.sip.headers import NameAddr
from telephony.sip.uri import Uri, escape_user

_REFRESH_S = 60.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Referral:
    """What a transfer's target is to the recording, and whom to ring for it."""

    destination: DestinationClass
    targets: tuple[Target, ...]
    label: str
    """The settings' own word for it; never a number that a person dialled."""


class Resolver:
    """Host names of the settings to addresses: literals at once, names by the system's resolver.

    Names are resolved at start and every minute; a name that does not resolve keeps its last
    address.
    """

    def __init__(self, hosts: frozenset[str]) -> None:
        self._names = frozenset(host for host in hosts if not _is_literal(host))
        self._known: dict[str, str] = {}

    def __call__(self, host: str) -> str | None:
        """The address of a host, or None while it is unknown."""
        return host if _is_literal(host) else self._known.get(host)

    async def refresh(self) -> None:
        """Ask for every name once."""
        loop = asyncio.get_running_loop()
        for name in self._names:
            try:
                found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
            except OSError:
                log.warning("resolver.failed", host=name)
                continue
            self._known[name] = str(found[0][4][0])

    async def run(self) -> None:
        """Refresh for ever; returns at once when there are only literals."""
        while self._names:
            await self.refresh()
            await asyncio.sleep(_REFRESH_S)


class Router:
    """The settings' routes and destinations, applied."""

    def __init__(
        self,
        settings: Settings,
        phones: Phones,
        is_open: Callable[[Address], bool] = lambda _: True,
    ) -> None:
        """`is_open` is False for a phone's connection that is gone: it cannot be rung."""
        self._settings = settings
        self._phones = phones
        self._is_open = is_open
        uris = [r.target for r in settings.routes] + [d.target for d in settings.destinations]
        self._uris = {text: Uri.parse(text) for text in uris if text}
        self.resolver = Resolver(frozenset(uri.host for uri in self._uris.values()))

    def route(self, called: str) -> Route | None:
        """The route of a called number."""
        return self._settings.route_of(called)

    def targets(self, route: Route, called: str, now: float) -> tuple[Target, ...]:
        """Whom a route rings now; empty when no phone is registered or a name is unknown."""
        if route.ring is not None:
            return tuple(t for e in route.ring for t in self._ring(e, now, route.srtp))
        return self._at(route.target or "", called, route.srtp)

    def refer(self, refer_to: NameAddr, now: float) -> Referral | None:
        """What a Refer-To means; None when it may not be dialled."""
        user = refer_to.uri.dialled
        destination = self._settings.destination_of(user, f"sip:{user}@{refer_to.uri.host}")
        phone = tuple(self._ring(user, now))
        if destination is not None:
            targets = self._at(destination.target or "", user, destination.srtp)
            targets = targets or tuple(self._ring(user, now, destination.srtp))
            targets = targets or self._routed(user, now)
            kind = DestinationClass(destination.class_)
            return Referral(kind, targets, destination.match.text) if targets else None
        if phone:
            return Referral(DestinationClass.CENTRE, phone, user)
        targets = self._routed(user, now)
        return Referral(DestinationClass.UNKNOWN, targets, "") if targets else None

    def classify(self, identity: Uri) -> DestinationClass:
        """What an identity, named by a PBX for the advisor's side, is to the recording."""
        user = identity.dialled
        destination: Destination | None = self._settings.destination_of(
            user, f"sip:{user}@{identity.host}"
        )
        if destination is not None:
            return DestinationClass(destination.class_)
        return DestinationClass.CENTRE if self._phones.known(user) else DestinationClass.UNKNOWN

    def user_of(self, extension: str) -> str:
        """The advisor who sits at an extension, or ""."""
        return self._phones.user_of(extension)

    def _routed(self, user: str, now: float) -> tuple[Target, ...]:
        route = self._settings.route_of(user)
        return () if route is None else self.targets(route, user, now)

    def _ring(self, extension: str, now: float, srtp: SrtpRule | None = None) -> tuple[Target, ...]:
        user = self._phones.user_of(extension)
        rule = Srtp(self._settings.srtp_of(extension, srtp))
        return tuple(
            Target(contact, address, name=extension, user=user, trust=True, pinned=True, srtp=rule)
            for contact, address in self._phones.contacts(extension, now)
            if self._is_open(address)
        )

    def _at(self, text: str, user: str, srtp: SrtpRule | None) -> tuple[Target, ...]:
        uri = self._uris.get(text)
        host = None if uri is None else self.resolver(uri.host)
        if uri is None or host is None:
            return ()
        dialled = replace(uri, user=uri.user or escape_user(user) or None)
        literal = replace(uri, host=host) if host != uri.host else uri
        address = address_of(literal)
        if address is None:  # a transport that we do not speak
            return ()
        address = address._replace(name=uri.host if host != uri.host else "")
        rule = Srtp(srtp or self._settings.media.srtp)
        return (Target(uri=dialled, destination=address, name=dialled.user or "", srtp=rule),)


def check_uris(settings: Settings) -> list[str]:
    """The SIP URIs of the settings that are not URIs, for `galwad check`."""
    faults = []
    for text in [r.target for r in settings.routes] + [d.target for d in settings.destinations]:
        try:
            Uri.parse(text or "sip:none.invalid")
        except ParseError as error:
            faults.append(f"{text}: {error}")
    return faults


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
