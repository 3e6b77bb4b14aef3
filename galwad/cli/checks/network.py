"""Checks of ports, the IP filter, where calls go, SRTP, and the peers of a running switch."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from config.values import HostPort
from galwad.cli.checks import CheckResult, fault, fine, warning
from galwad.cli.checks.files import FOLDERS, UNIT
from galwad.link import Link, LinkError
from galwad.messages import Figures, Hello
from galwad.process_state import State, states
from galwad.settings import EXAMPLE, Settings
from galwad.switch.edge.emergency import EmergencyRoutes
from galwad.switch.edge.locations import DnsClient, Locations, speaks_of
from galwad.switch.edge.routing import check_uris
from net.addresses import Network, host_of_family
from telephony.aio.resolver import Resolver
from telephony.errors import ParseError
from telephony.sip.message.uri import Uri

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_WIDEST: Final = {4: 16, 6: 32}
"""The shortest prefix of a network that a provider of trunks may plausibly have, by IP version."""
_NAMES: Final = {
    "any": ("0.0.0.0/0", "::/0"),
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}
_PATIENCE_S = 10.0
_TIMEOUT_S = 2.0


def check_ports(settings: Settings) -> Iterator[CheckResult]:
    """Check addresses to listen on and to advertise, targets' transports, and the media ports."""
    running = {each.name for each in states(settings) if each.state is not State.STOPPED}
    switch = "switch" in running
    for listener in settings.sip.listen:
        place = HostPort(listener.host, listener.port)
        kind = socket.SOCK_DGRAM if listener.transport == "udp" else socket.SOCK_STREAM
        yield _port("sip", kind, place, "[sip] listen", running=switch)
    yield from _transports(settings)
    desk = "desk" in running
    yield _port("desk", socket.SOCK_STREAM, settings.desk.listen, "[desk] listen", running=desk)
    yield from _media(settings, running=switch)
    yield from _advertised(settings)


def _transports(settings: Settings) -> Iterator[CheckResult]:
    ours = {listener.transport for listener in settings.sip.listen}
    for text in settings.target_uris:
        try:
            uri = Uri.parse(text)
        except ParseError:
            continue
        wanted = "tls" if uri.scheme == "sips" else (uri.parameter("transport") or "").lower()
        if wanted and wanted not in ours:
            yield fault(
                "routes",
                f"{text} needs {wanted}, but [sip] listen has no such address",
                f'add "{wanted}:ADDRESS:PORT" to [sip] listen: calls leave from there',
            )


def _bind(kind: socket.SocketKind, place: HostPort) -> str:
    try:
        family = socket.AF_INET6 if ip_address(place.host).version == 6 else socket.AF_INET
    except ValueError:
        family = socket.AF_INET
    with socket.socket(family, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((place.host, place.port))
        except OSError as error:
            return (error.strerror or "cannot be bound").lower()
    return ""


def _port(
    name: str, kind: socket.SocketKind, place: HostPort, key: str, *, running: bool
) -> CheckResult:
    problem = _bind(kind, place)
    if not problem:
        return fine(name, f"{place} is free")
    if running and "in use" in problem:
        return fine(name, f"{place} is used by the running service")
    return fault(
        name, f"{place}: {problem}", f"free the port (ss -lunpt shows its process), or change {key}"
    )


def _media(settings: Settings, *, running: bool) -> Iterator[CheckResult]:
    ports = settings.media.ports
    taken = [
        port
        for port in range(ports.first, ports.last + 1)
        if any(_bind(socket.SOCK_DGRAM, HostPort(host, port)) for host in settings.media.listen)
    ]
    total = ports.last - ports.first + 1
    if len(taken) == total:
        yield fault("media", f"no port of {ports} can be bound", "change [media] listen or ports")
    elif taken and not running:
        yield warning(
            "media",
            f"{len(taken)} of the ports in [media] ports {ports} are taken",
            "free them, or ignore this if the other ports suffice",
        )
    else:
        yield fine("media", f"{ports} has room for {ports.calls} calls")
    sip = settings.sip
    reserve = sip.emergency_calls if sip.emergency_numbers else 0
    most = sip.max_calls + reserve
    if ports.calls < most:
        yield warning(
            "media",
            f"[media] ports {ports} has room for {ports.calls} calls, but [sip] max_calls is "
            f"{sip.max_calls} and emergency_calls {reserve}",
            f"widen [media] ports by {4 * (most - ports.calls)}, or lower max_calls",
        )
    low, high = (int(word) for word in _EPHEMERAL.read_text(encoding="ascii").split())
    if ports.first <= high and low <= ports.last:
        yield warning(
            "media",
            f"[media] ports {ports} overlaps the ports that the kernel gives to other programs",
            "reserve the range: sysctl net.ipv4.ip_local_reserved_ports=" + str(ports),
        )


def _advertised(settings: Settings) -> Iterator[CheckResult]:
    wild = [
        listener
        for listener in settings.sip.listen
        if ip_address(listener.host).is_unspecified
        and host_of_family(settings.sip.advertise, listener.host) is None
    ]
    if wild:
        yield warning(
            "sip",
            f"{wild[0]} is not an address that others can reach",
            "set [sip] advertise to this machine's address",
        )
    media = settings.media
    if any(
        ip_address(host).is_unspecified and host_of_family(media.advertise, host) is None
        for host in media.listen
    ):
        yield warning(
            "media",
            "[media] listen has no address that others can send to",
            "set [media] advertise to this machine's address",
        )


def check_ip_filter(settings: Settings, folders: Sequence[Path] = FOLDERS) -> Iterator[CheckResult]:
    """Check that the IP filter of the switch's unit lets its peers through.

    The unit allows only loopback and private networks (`IPAddressAllow=`), so a trunk with a public
    address needs a drop-in. Without it, systemd drops the trunk's packets before the switch sees
    them, and no log shows it. The addresses of phones are not in the settings, so the check names
    the networks from which phones can register. There is no result if the unit is in none of the
    folders.
    """
    files = _unit_files(folders)
    if not files:
        return
    allowed, denied = _settings_of(files, "IPAddressAllow"), _settings_of(files, "IPAddressDeny")
    # systemd lets a packet through if the list of allowed networks has its address, or if the list
    # of denied networks does not have it.
    barred = [
        (name, network)
        for name, network in _peer_networks(settings)
        if not _within(network, allowed) and any(_overlap(network, each) for each in denied)
    ]
    for name, network in barred:
        place = network.network_address if network.num_addresses == 1 else network
        yield warning(
            "ip filter",
            f"{name}: the unit drops packets from and to {place}",
            _ip_filter_remedy(network, str(place)),
        )
    if not barred:
        yield fine("ip filter", "the unit lets all trunks and targets through")
    networks = ", ".join(map(str, allowed)) if denied else "all networks"
    yield fine("ip filter", f"phones can reach the switch from {networks or 'nowhere'}")


def _ip_filter_remedy(network: Network, place: str) -> str:
    """Return the remedy. A network that is wider than `_WIDEST` must not be allowed."""
    if network.prefixlen < _WIDEST[network.version]:
        return (
            "do not allow so wide a network: each of its addresses may call as this trunk. Name "
            "only the provider's addresses in peers, and then allow these"
        )
    return (
        f"systemctl edit galwad-switch: add [Service] and IPAddressAllow={place}; then "
        "systemctl restart galwad-switch"
    )


def _peer_networks(settings: Settings) -> Iterator[tuple[str, Network]]:
    for trunk in settings.trunks:
        for peer in trunk.peers:
            yield f"trunk {trunk.name}", peer.network
    for text in settings.target_uris:
        try:
            yield f"target {text}", ip_network(Uri.parse(text).host)
        except (ParseError, ValueError):
            continue  # The host is a name, which DNS may change.


def _unit_files(folders: Sequence[Path]) -> list[Path]:
    """Return the unit file and its drop-ins, in the order in which systemd reads them."""
    unit = next((each / UNIT for each in folders if (each / UNIT).is_file()), None)
    if unit is None:
        return []
    drop_ins = {
        path.name: path
        for folder in reversed(folders)
        for path in (folder / f"{UNIT}.d").glob("*.conf")
    }
    return [unit, *(drop_ins[name] for name in sorted(drop_ins))]


def _settings_of(files: Iterable[Path], key: str) -> list[Network]:
    """Return the networks in all lines `key=`; a line without a value removes all before it."""
    found: list[Network] = []
    for path in files:
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            name, equals, value = line.partition("=")
            if not equals or name.strip() != key:
                continue
            if not value.strip():
                found = []
            for word in value.split():
                with suppress(ValueError):  # systemd ignores a word that is no network
                    found += [ip_network(each, strict=False) for each in _NAMES.get(word, (word,))]
    return found


def _within(network: Network, allowed: Iterable[Network]) -> bool:
    return any(
        network.version == each.version and network.subnet_of(each)  # type: ignore[arg-type]
        for each in allowed
    )


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def check_routes(settings: Settings, dns: DnsClient | None = None) -> Iterator[CheckResult]:
    """Look up all targets and registrars, and check that emergency calls have a route."""
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
    with suppress(TimeoutError):  # a name whose lookup is not over has no address
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
            f"an emergency call from a phone would fail: {problem}",
            f'add [[routes]] with called = "{settings.sip.emergency_numbers[0]}" and a target; or, '
            "if no phone dials here, [sip] emergency_numbers = []",
        )
        return
    for number in settings.sip.emergency_numbers:
        route = routes.route(number)
        if route is not None:
            places = ", then ".join(route.target or ())
            yield fine("emergency", f"{number} goes to {places}")


def check_peers(settings: Settings) -> Iterator[CheckResult]:
    """Yield a result for each peer and each trunk in the `Figures` of a running switch."""
    figures = asyncio.run(_figures_of(settings.switch_socket))
    if figures is None:
        return
    for name, names in figures.naming.items():
        if names:
            yield fine("peers", f"trunk {name} names the parties that answer")
            continue
        yield warning(
            "peers",
            f"trunk {name} does not name who answers: transfers inside this PBX stay unseen,"
            " and what follows them is recorded",
            "let the PBX send P-Asserted-Identity in answers and updates: docs/operations/pbx.md",
        )
    for peer in figures.peers:
        by_options = peer.asked_by == "options"
        if peer.up:
            text = "answers OPTIONS" if by_options else "accepts our registration"
            yield fine("peers", f"{peer.name} {text}")
        elif by_options:
            yield warning(
                "peers",
                f"{peer.name} does not answer OPTIONS: it is tried after all others",
                "check this peer, and the network; the alarm peer.down has the last status",
            )
        else:
            yield warning(
                "peers",
                f"trunk {peer.name} does not accept our registration: it sends no calls",
                "check username, password, registrar; the alarm trunk.unregistered has the status",
            )


async def _figures_of(switch_socket: Path) -> Figures | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            link = Link(*await asyncio.open_unix_connection(switch_socket))
            link.send(Hello.of("command"))
            try:
                answer = await link.receive()
            finally:
                await link.close()
    except (OSError, TimeoutError, LinkError):  # the switch is not running or is still starting
        return None
    return answer if isinstance(answer, Figures) else None


def check_srtp(settings: Settings) -> Iterator[CheckResult]:
    """Yield a warning for each peer that must use SRTP, but whose keys may be sent without TLS."""
    speaks_tls = any(listener.transport == "tls" for listener in settings.sip.listen)
    for who in _without_tls(settings, speaks_tls=speaks_tls):
        yield warning(
            "srtp",
            f"{who} must use SRTP, but may signal without TLS: others can read the keys",
            'use transport = "tls" (";transport=tls" in a target), and [sip] listen with "tls:…"',
        )


def _without_tls(settings: Settings, *, speaks_tls: bool) -> Iterator[str]:
    for who, rule, by_tls in _srtp_parties(settings):
        if (rule or settings.media.srtp) == "required" and not (speaks_tls and by_tls):
            yield who


def _srtp_parties(settings: Settings) -> Iterator[tuple[str, str | None, bool]]:
    """Yield each peer's name, SRTP rule (None: that of [media]), and whether it always has TLS."""
    for trunk in settings.trunks:
        yield f"trunk {trunk.name}", trunk.srtp, trunk.transport == "tls"
    for phone in settings.phones:
        yield f"phone {phone.extension}", phone.srtp, phone.transport == "tls"
    for route in settings.routes:
        if route.target is not None:
            yield f"route {route.called.text}", route.srtp, _by_tls(*route.target)
    for destination in settings.destinations:
        if destination.target is not None:
            who = f"destination {destination.match.text}"
            yield who, destination.srtp, _by_tls(*destination.target)


def _by_tls(*targets: str) -> bool:
    try:
        uris = [Uri.parse(target) for target in targets]
    except ParseError:
        return False
    return all(
        uri.scheme == "sips" or (uri.parameter("transport") or "").lower() == "tls" for uri in uris
    )
