"""The plan of a simulation: the options of the command line, after they are checked."""

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
"""The lowest and the highest media port; 500 calls need 2000, two for each of two legs."""
KEYS: Final = "0123456789*#"
DEFAULT_CALLER: Final = "07700900123"
"""Ofcom reserves the range of this number for drama, so no subscriber has it."""
DEFAULT_REFERENCE: Final = "galwad simulate"


class PhoneTransport(StrEnum):
    """The SIP transport between the simulated phones and the server."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"


class SrtpPolicy(StrEnum):
    """The use of SRTP by the simulated phones: off, optional (only offered) or required."""

    OFF = "off"
    OPTIONAL = "optional"
    REQUIRED = "required"


class PauseBy(StrEnum):
    """The method of pausing the recording: a key of the phone, or the API."""

    KEY = "key"
    API = "api"


@dataclass(frozen=True, slots=True)
class SipLogin:
    """The extension and the SIP password with which a simulated phone signs in to the server."""

    extension: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Addresses:
    """The server's address, and the addresses of this machine."""

    host: str
    port: int
    transport: PhoneTransport
    host_as_typed: str
    """The server's host as the user typed it; its TLS certificate must name this host."""
    local_host: str
    """The address of this machine from which the answering phones send to the server."""
    caller: str
    """The address of this machine from which the calling phone sends to the server."""
    caller_port: int = 0
    ca: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host_as_typed}]" if ":" in self.host_as_typed else self.host_as_typed
        return f"{host}:{self.port} by {self.transport}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of one run of `galwad simulate call`."""

    number: str
    addresses: Addresses
    caller: str
    """The telephone number that the caller shows when it calls as a trunk."""
    acts_as: SipLogin | None
    """The phone that places the call; None if the call is placed as a trunk."""
    answering: tuple[SipLogin, ...]
    """The phones that answer: the first phone answers the call, the others answer a transfer."""
    media: SrtpPolicy = SrtpPolicy.OPTIONAL
    talk: float = 4.0
    """The length of the talk in seconds."""
    timeout: float = 10.0
    """The seconds to wait for one event, except for a transfer or a person's answer."""
    dtmf: str = ""
    pause: float = 0.0
    """The length of the pause in seconds; 0 for no pause."""
    pause_by: PauseBy = PauseBy.KEY
    transfer: str = ""
    attended: str = ""
    calls: int = 1
    rate: float = 1.0
    """The number of new calls that are placed in each second."""
    identity: Path | None = None
    reference: str = ""
    api: str = ""
    """The address of the server's API; "" for the address that `galwad login` stored."""

    @property
    def caller_name(self) -> str:
        """The name of the caller in the report: the phone's extension, or "caller" for a trunk."""
        return self.acts_as.extension if self.acts_as else "caller"

    def calling_phone(self) -> VoIPPhone:
        """Make and return the calling phone, which is not started yet."""
        account = self.acts_as or SipLogin(self.caller, "")
        addresses = self.addresses
        return self._phone(account, (addresses.caller, addresses.caller_port))

    def answering_phone(self, account: SipLogin, callback: CallCallback) -> VoIPPhone:
        """Make a phone that will register; `callback` receives each call that rings."""
        return self._phone(account, (self.addresses.local_host, 0), callback)

    def outside_phone(
        self, number: str, local: tuple[str, int], callback: CallCallback
    ) -> VoIPPhone:
        """Make a phone outside the centre: it does not register, and is called by UDP."""
        return self._phone(
            SipLogin(number, ""), local, callback, register=False, transport=PhoneTransport.UDP
        )

    def _phone(
        self,
        account: SipLogin,
        local: tuple[str, int],
        callback: CallCallback | None = None,
        *,
        register: bool = True,
        transport: PhoneTransport | None = None,
    ) -> VoIPPhone:
        addresses, way = self.addresses, transport or self.addresses.transport
        media: Literal["off", "optional", "required"] = self.media.value
        secure = way is PhoneTransport.TLS
        return VoIPPhone(
            addresses.host,
            addresses.port,
            account.extension,
            account.password,
            my_ip=local[0],
            sip_port=local[1],
            rtp_ports=PORTS,
            register=register and callback is not None,
            call_callback=callback,
            srtp=media,
            transport=way.value,
            tls=client_context(ca=addresses.ca) if secure else None,
            server_name=addresses.host_as_typed if secure else "",
        )


def locate(text: str, transport: PhoneTransport, bind: str, ca: Path | None) -> Addresses:
    """Return the server's address, and the address of this machine from which packets reach it.

    Raises:
        CliError: An option has no valid value, or the server cannot be resolved or reached.
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
    """Return the local address from which packets to the server would leave; no packet is sent."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(there)
        except OSError:
            raise CliError("there is no network route to the server", "check --sip") from None
        return str(probe.getsockname()[0])
