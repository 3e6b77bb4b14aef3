"""Checks that the ports for SIP, media and the page are free, or are in use by a running Galwad."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from config.values import HostPort, host_of_family
from galwad.cli.checks.result import CheckResult, fault, fine, warning
from galwad.process_state import State, states
from galwad.settings import Settings
from telephony.errors import ParseError
from telephony.sip.message.uri import Uri

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def check(settings: Settings) -> Iterator[CheckResult]:
    """Check each listening address, the transports of targets, and the range of media ports."""
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
    """Yield a fault for each target URI whose transport is missing in the setting [sip] listen."""
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
    """Try to bind a socket to `place`; return the error as text, or "" if there is no error."""
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
        name, f"{place}: {problem}", f"free it (ss -lunpt shows its process) or change {key}"
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
        yield warning("media", f"{len(taken)} ports of {ports} are taken", "they are not used")
    else:
        yield fine("media", f"{ports} has room for {ports.calls} calls")
    sip = settings.sip
    reserve = sip.emergency_calls if sip.emergency_numbers else 0
    most = sip.max_calls + reserve
    if ports.calls < most:
        yield warning(
            "media",
            f"{ports} has room for {ports.calls} calls, [sip] max_calls is {sip.max_calls} and "
            f"emergency_calls {reserve}",
            f"widen [media] ports by {4 * (most - ports.calls)}, or lower max_calls",
        )
    low, high = (int(word) for word in _EPHEMERAL.read_text(encoding="ascii").split())
    if ports.first <= high and low <= ports.last:
        yield warning(
            "media",
            f"{ports} overlaps the ports that the kernel gives to other programs",
            "reserve it: sysctl net.ipv4.ip_local_reserved_ports=" + str(ports),
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
