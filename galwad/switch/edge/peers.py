"""The OPTIONS requests and registrations that the switch sends to trunks and targets.

Trunks and targets with `options_every` in the settings get regular OPTIONS requests ("pings"). An
address that does not respond is tried after other addresses. Calls from it are still accepted.
Alarms and logs about pings show a trunk by its name and its address. They show a target only by its
address, because the URI of a target may contain a phone number.

`TrunkAccounts` has our credentials and registrations at trunks that require a password. A call that
a trunk sends to our registered address is admitted like any other call of the trunk, by its source
address. Logs contain the name of a trunk, never the registered number.

`NamingMonitor` observes whether each trusted trunk names the parties that answer.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address

import structlog

from galwad.messages import PeerStatus
from galwad.settings import Settings
from galwad.settings.switch import Destination, Route, Trunk
from galwad.switch.edge.locations import Locations
from recording.files.atomic import read_small
from telephony.sip.endpoint import Endpoint
from telephony.sip.events import Address, PeerLost, SipEvent, StandaloneResponse
from telephony.sip.keep_alive import KeepAlive, PeerHealth
from telephony.sip.message.messages import Request, Response
from telephony.sip.message.uri import Uri
from telephony.sip.registration import RegistrarAccount, Registration, RegistrationState
from telephony.sip.transport.address import DEFAULT_PORTS
from telephony.sip.ua.auth import DigestClient

log = structlog.get_logger()

Locate = Callable[[Uri], Sequence[Address]]
Alarm = Callable[[str, str | None, str], None]


class PeerMonitor:
    """Sends regular OPTIONS pings to the addresses of trunks and targets.

    If several trunks or targets use the same address, the address receives only one ping per
    interval.
    """

    def __init__(
        self, settings: Settings, endpoint: Endpoint, locations: Locations, alarm: Alarm
    ) -> None:
        """Prepare the pings. `locations` finds targets' addresses, and learns which are silent."""
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
        """Update the pinged addresses from DNS. Of several intervals, the shortest counts."""
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
            self._alarm("peer.down", None, f"{name}: SIP status {ping.status}")
        elif before is PeerHealth.DOWN:
            self._locations.mark_up(there)
            self._alarm("peer.up", None, name)
        else:
            log.info("peer.up", peer=name)


def addresses_of(trunk: Trunk) -> list[Address]:
    """Return the single addresses of a trunk in the settings. Networks are not pinged."""
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


class TrunkAccounts:
    """Answers the challenges of trunks that have a password, and registers at their registrars."""

    def __init__(
        self, settings: Settings, endpoint: Endpoint, locate: Locate, alarm: Alarm
    ) -> None:
        """Prepare our accounts at the trunks that have a password. Send nothing yet.

        If a password's file cannot be read, the first `tick` raises an alarm, and the trunk is used
        without a password: it may still send us calls. `locate` returns the addresses of a
        registrar's URI.
        """
        self._settings = settings
        self._locate = locate
        self._alarm = alarm
        self._clients: dict[str, DigestClient] = {}
        self._registrations: dict[str, Registration] = {}
        self._registrars: dict[str, Uri] = {}
        self._reported: dict[str, RegistrationState] = {}
        self._faults: list[str] = []
        """The trunks whose password cannot be read, each with the reason. `tick` reports them."""
        for trunk in settings.trunks:
            if trunk.username:
                try:
                    self._add(trunk, _password(trunk), endpoint)
                except OSError as error:
                    reason = (error.strerror or type(error).__name__).lower()
                    self._faults.append(f"{trunk.name}: {trunk.password_file}: {reason}")
        if self._clients:
            endpoint.authenticate(self.credentials)

    def _add(self, trunk: Trunk, password: str, endpoint: Endpoint) -> None:
        self._clients[trunk.name] = DigestClient(trunk.username, password)
        if trunk.registrar is not None:
            registrar = Uri.parse(trunk.registrar)
            account = RegistrarAccount(trunk.name, registrar, trunk.username)
            self._registrars[trunk.name] = registrar
            self._registrations[trunk.name] = Registration(endpoint, account)

    def credentials(
        self, request: Request, response: Response, destination: Address
    ) -> tuple[str, str] | None:
        """Return the header field that answers a challenge; None if we have no password there."""
        trunk = self._settings.find_trunk(*destination[:3])
        client = self._clients.get(trunk.name) if trunk is not None else None
        client = client or self._of_registrar(destination)
        return client.answer(request, response, secrets.token_hex(8)) if client else None

    def _of_registrar(self, destination: Address) -> DigestClient | None:
        for name, registrar in self._registrars.items():
            if any(there[:3] == destination[:3] for there in self._locate(registrar)):
                return self._clients[name]
        return None

    def tick(self, now: float) -> None:
        """Send the REGISTER requests that are due. Call this method about once a second."""
        for fault in self._faults:
            self._alarm("trunk.unregistered", None, fault)
        self._faults.clear()
        for name, registration in self._registrations.items():
            registration.handle_timer(now, self._locate(self._registrars[name]))
            self._report(name, registration)

    def on_event(self, event: SipEvent, now: float) -> None:
        """Handle an event of the SIP core about our registrations, and ignore every other event."""
        if isinstance(event, PeerLost):
            for registration in self._registrations.values():
                registration.connection_lost(event.peer, now)
        elif isinstance(event, StandaloneResponse):
            for name, registration in self._registrations.items():
                if event.transaction.owner is registration:
                    registration.handle(event, now)
                    self._report(name, registration)

    def peer_statuses(self) -> Iterator[PeerStatus]:
        """Yield the state of each registration that has succeeded or failed at least once."""
        for name, standing in self._reported.items():
            yield PeerStatus(name, "register", standing is RegistrationState.REGISTERED)

    def stop(self, now: float) -> None:
        """Remove our bindings at all trunks, so that no new calls arrive."""
        for registration in self._registrations.values():
            registration.stop(now)

    def _report(self, name: str, registration: Registration) -> None:
        standing = registration.state
        if standing is self._reported.get(name) or standing is RegistrationState.TRYING:
            return
        self._reported[name] = standing
        if standing is RegistrationState.REGISTERED:
            log.info("trunk.registered", trunk=name)
        elif standing is RegistrationState.FAILED:
            self._alarm("trunk.unregistered", None, f"{name}: SIP status {registration.status}")


def _password(trunk: Trunk) -> str:
    """Return the password of our account at the trunk; raise OSError if none can be read."""
    if trunk.password is not None:
        return trunk.password.get_secret_value()
    if trunk.password_file is None:
        raise OSError("the settings have no password")
    try:
        text = read_small(trunk.password_file).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        raise OSError(errno.EINVAL, "not one line of text")
    return text


MOST_UNNAMED = 3
"""The number of answered calls in a row without a name after which there is an alarm."""


class NamingMonitor:
    """Counts, for each trusted trunk, the answered calls since it last named a party.

    A PBX that names no party at the answer probably names no party after its own transfers. These
    transfers then stay unseen, and a department that gets the call is recorded.
    """

    def __init__(self, settings: Settings, alarm: Callable[[str, str | None, str], None]) -> None:
        """`alarm` is the function `LinkServer.alarm`."""
        self._settings = settings
        self._alarm = alarm
        self._unnamed: dict[str, int] = {}
        """The number of answered calls since the last call with a name, by trunk."""

    def ended(self, peer: Address, *, is_named: bool) -> None:
        """Count an answered call to the PBX at `peer`, behind which the settings name advisors.

        `is_named` is true if the PBX has named a party of this call.
        """
        trunk = self._settings.find_trunk(*peer[:3])
        if trunk is None or not trunk.trusted:
            return
        name = trunk.name
        self._unnamed[name] = 0 if is_named else self._unnamed.get(name, 0) + 1
        if self._unnamed[name] == MOST_UNNAMED:
            self._alarm("pbx.no_names", None, f"{name}: no names in {MOST_UNNAMED} calls in a row")

    def states(self) -> dict[str, bool]:
        """Return whether each trunk names parties. A trunk is left out while this is uncertain."""
        counts = self._unnamed.items()
        return {name: not count for name, count in counts if not 0 < count < MOST_UNNAMED}
