"""The plan of a simulation: the checked options of the command line."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal

from galwad.cli.support.console import CliError
from telephony.aio.tls import client_context
from telephony.phone import VoIPPhone
from telephony.phone.phone import CallCallback

PORTS: Final = (30_000, 32_999)
"""Ports for the simulated phones' media: two for each side of a call, for 500 calls."""
KEYS: Final = "0123456789*#"


class PhoneTransport(StrEnum):
    """The transport between the phones and the server."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class SrtpPolicy(StrEnum):
    """The protection of the phones' media: whether they offer or require SRTP."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class PauseBy(StrEnum):
    """The means of a pause: the phone's record key, or the API."""

    KEY = "key"
    API = "api"


@dataclass(frozen=True, slots=True)
class SipLogin:
    """The account of a phone at the server."""

    extension: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The server's address as the phones reach it, and this machine's as the server does."""

    host: str
    port: int
    transport: PhoneTransport
    host_as_typed: str
    """The host as it was typed, which a certificate must name."""
    local_host: str
    """This machine's address as the server sees it, for the answering phones."""
    caller: str
    """The address from which the caller calls."""
    caller_port: int = 0
    ca: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host_as_typed}]" if ":" in self.host_as_typed else self.host_as_typed
        return f"{host}:{self.port} by {self.transport}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One simulation."""

    number: str
    addresses: Addresses
    caller: str
    """The number that the caller shows when it calls as a trunk."""
    acts_as: SipLogin | None
    """The phone that calls; None to call as a trunk."""
    answering: tuple[SipLogin, ...]
    """The first phone answers the call; the others answer the number it is transferred to."""
    media: SrtpPolicy = SrtpPolicy.OPTIONAL
    talk: float = 4.0
    """In seconds."""
    timeout: float = 10.0
    """Seconds that a step may take, except an answer by a phone outside this command."""
    dtmf: str = ""
    pause: float = 0.0
    """In seconds."""
    pause_by: PauseBy = PauseBy.KEY
    transfer: str = ""
    attended: str = ""
    calls: int = 1
    rate: float = 1.0
    """Calls a second."""
    identity: Path | None = None
    reference: str = ""
    api: str = ""
    """The API's address; empty for the one of `galwad login`."""

    @property
    def caller_name(self) -> str:
        """The caller's name in the output: the extension, or "caller"."""
        return self.acts_as.extension if self.acts_as else "caller"

    def calling_phone(self) -> VoIPPhone:
        """Return the caller's phone, not started."""
        account = self.acts_as or SipLogin(self.caller, "")
        addresses = self.addresses
        return self._phone(account, (addresses.caller, addresses.caller_port))

    def answering_phone(self, account: SipLogin, callback: CallCallback) -> VoIPPhone:
        """Return a phone that registers, not started."""
        return self._phone(account, (self.addresses.local_host, 0), callback)

    def _phone(
        self, account: SipLogin, local: tuple[str, int], callback: CallCallback | None = None
    ) -> VoIPPhone:
        addresses = self.addresses
        transport: Literal["udp", "tcp", "tls"] = addresses.transport.value
        media: Literal["off", "optional", "required"] = self.media.value
        secure = addresses.transport is PhoneTransport.TLS
        return VoIPPhone(
            addresses.host,
            addresses.port,
            account.extension,
            account.password,
            my_ip=local[0],
            sip_port=local[1],
            rtp_ports=PORTS,
            register=callback is not None,
            call_callback=callback,
            srtp=media,
            transport=transport,
            tls=client_context(ca=addresses.ca) if secure else None,
            server_name=addresses.host_as_typed if secure else "",
        )


def locate(text: str, transport: PhoneTransport, bind: str, ca: Path | None) -> Addresses:
    """Find the server of `--sip`, and the address of this machine from which it is reached.

    Raises:
        CliError: The text is not an address, the name is unknown, `ca` is not a file, or there
            is no route to the server.
    """
    host, port = _split(text, 5061 if transport is PhoneTransport.TLS else 5060)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        raise CliError(f'cannot find the host "{host}" of --sip', "give its IP address") from None
    family, *_, there = found[0]
    if ca is not None and not ca.is_file():
        raise CliError(f"{ca} is not a file", "--tls-ca takes a PEM file of authorities", status=2)
    here = _our_address(family, there)
    caller, caller_port = _split(bind, 0, "--bind") if bind else (here, 0)
    return Addresses(str(there[0]), port, transport, host, here, caller, caller_port, ca)


def _split(text: str, port: int, option: str = "--sip") -> tuple[str, int]:
    host, colon, digits = text.rpartition(":")
    if not colon or text.endswith("]") or _is_address(text):
        host, digits = text, str(port)
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (digits.isascii() and digits.isdigit() and int(digits) < 65536):
        raise CliError(
            f'cannot read {option} "{text}"', "write it as 192.0.2.10 or 192.0.2.10:5070", status=2
        )
    return host, int(digits)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _our_address(family: int, there: tuple[object, ...]) -> str:
    """Return the address from which the system would send to the server; nothing is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(there)
        except OSError:
            raise CliError("there is no network route to the server", "check --sip") from None
        return str(probe.getsockname()[0])
