"""Regular OPTIONS requests ("pings") to trunks and targets with `options_every` in the settings.

If a peer does not respond, we send a call to this peer only after all other peers have failed.
Calls from this peer are still accepted. Alarms and logs show a trunk by its name and its address.
They show a target only by its address, because the URI of a target may contain a phone number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address

import structlog

from galwad.messages import PeerStatus
from galwad.settings import Settings
from galwad.settings.switch import Destination, Route, Trunk
from galwad.switch.locations import Locations
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, PeerLost, SipEvent, StandaloneResponse
from telephony.sip.keep_alive import KeepAlive, PeerHealth
from telephony.sip.message.uri import Uri
from telephony.sip.transport.address import DEFAULT_PORTS

log = structlog.get_logger()

Alarm = Callable[[str, str | None, str], None]


class PeerMonitor:
    """Sends regular OPTIONS pings to the addresses of trunks and targets.

    If several trunks or targets use the same address, the address receives only one ping per
    interval.
    """

    def __init__(
        self, settings: Settings, endpoint: Endpoint, locations: Locations, alarm: Alarm
    ) -> None:
        """Prepare the pings.

        `locations` gives the addresses of the targets. If an address does not respond, it is marked
        in `locations`.
        """
        self._endpoint = endpoint
        self._locations = locations
        self._alarm = alarm
        self._trunks = [
            (address, trunk.options_every, f"{trunk.name} ")
            for trunk in settings.trunks
            if trunk.options_every
            for address in addresses_of(trunk)
        ]
        places: tuple[Route | Destination, ...] = (*settings.routes, *settings.destinations)
        self._targets = [
            (Uri.parse(target), place.options_every)
            for place in places
            if place.options_every
            for target in place.target or ()
        ]
        self._pings: dict[Address, KeepAlive] = {}
        self._names: dict[Address, str] = {}
        self._reported: dict[Address, PeerHealth] = {}

    def tick(self, now: float) -> None:
        """Send the pings that are due. Call this method about once a second."""
        self._refresh()
        for ping in tuple(self._pings.values()):
            ping.handle_timer(now)
            self._report(ping)

    def on_event(self, event: SipEvent, now: float) -> None:
        """Handle an event of the SIP core about our pings, and ignore every other event."""
        if isinstance(event, PeerLost):
            for ping in self._pings.values():
                ping.connection_lost(event.peer, now)
        elif isinstance(event, StandaloneResponse):
            asked_for = event.transaction.owner
            if isinstance(asked_for, KeepAlive):
                asked_for.handle(event, now)
                self._report(asked_for)

    def peer_statuses(self) -> Iterator[PeerStatus]:
        """Yield the state of each peer, except for peers whose first ping has had no result yet."""
        for address, ping in self._pings.items():
            if ping.health is not PeerHealth.UNKNOWN:
                up = ping.health is PeerHealth.ALIVE
                yield PeerStatus(self._names[address], "options", up)

    def _refresh(self) -> None:
        """Update the list of pinged addresses with the most recent DNS answers.

        If several peers have the same address, this address is pinged at the shortest interval of
        these peers.
        """
        asked: dict[Address, float] = {}
        for address, every, name in self._asked():
            asked[address] = min(every, asked.get(address, every))
            self._names.setdefault(address, f"{name}{address_text(address)}")
        for address in self._pings.keys() - asked.keys():
            self._forget(address)
        for address, every in asked.items():
            if address not in self._pings:
                self._pings[address] = KeepAlive(self._endpoint, address, every)
            self._pings[address].interval = every

    def _asked(self) -> Iterator[tuple[Address, float, str]]:
        yield from self._trunks
        for uri, every in self._targets:
            for address in self._locations(uri):
                yield address, every, ""

    def _forget(self, address: Address) -> None:
        """Stop the pings to an address that no longer belongs to any trunk or target."""
        del self._pings[address], self._names[address]
        if self._reported.pop(address, None) is PeerHealth.DOWN:
            self._locations.mark_up(address)

    def _report(self, ping: KeepAlive) -> None:
        there = ping.destination
        before = self._reported.get(there, PeerHealth.UNKNOWN)
        if ping.health is before or self._pings.get(there) is not ping:
            return
        self._reported[there] = ping.health
        name = self._names[there]
        if ping.health is PeerHealth.DOWN:
            self._locations.mark_down(there)
            self._alarm("peer.down", None, f"{name}: {ping.status}")
        elif before is PeerHealth.DOWN:
            self._locations.mark_up(there)
            self._alarm("peer.up", None, name)
        else:
            log.info("peer.up", peer=name)


def addresses_of(trunk: Trunk) -> list[Address]:
    """Return those addresses of a trunk that can be pinged.

    An entry of the settings can be pinged if it is a single address, but not if it is a network of
    several addresses.
    """
    transport = (trunk.transport or "udp").upper()
    return [
        Address(str(peer.network[0]), peer.port or DEFAULT_PORTS[transport], transport)
        for peer in trunk.peers
        if peer.is_single_address
    ]


def address_text(address: Address) -> str:
    """Return an address in the form that `[sip] listen` uses, such as `udp:192.0.2.1:5060`."""
    try:
        host = f"[{address.host}]" if ip_address(address.host).version == 6 else address.host
    except ValueError:
        host = address.host
    return f"{address.transport.lower()}:{host}:{address.port}"
