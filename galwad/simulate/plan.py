"""The plan of a simulation: the options of the command line, and their checks."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import typer

from galwad.cli.support.console import CliError
from telephony.errors import ParseError
from telephony.sip.message.uri import Uri, is_user

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
    """The use of SRTP by the simulated phones: off, optional or required.

    With "optional", a phone offers plain RTP, and accepts SRTP if the server offers it.
    """

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
    """The server's host as the user typed it. Its TLS certificate must name this host."""
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
    """The plan of one run of a `galwad simulate` command."""

    number: str
    addresses: Addresses
    caller: str
    """The telephone number that the caller shows when it calls as a trunk."""
    acts_as: SipLogin | None
    """The phone that places the call; None if the call is placed as a trunk."""
    answering: tuple[SipLogin, ...]
    """The phones that answer. In a single call, all phones but the first wait for a transfer."""
    media: SrtpPolicy = SrtpPolicy.OPTIONAL
    talk: float = 4.0
    """The length of the talk in seconds."""
    timeout: float = 10.0
    """The seconds to wait for one SIP event, such as a registration, ringing or a reply."""
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


def locate(text: str, transport: PhoneTransport, bind: str, ca: Path | None) -> Addresses:
    """Return the server's address, and the address of this machine that reaches it.

    If `bind` is not "", the calling phone sends from `bind` instead. Raises `CliError`.
    """
    from telephony.aio.udp import host_towards  # noqa: PLC0415 - the help needs no sockets

    host, port = _split(text, 5061 if transport is PhoneTransport.TLS else 5060)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        raise CliError(
            f'cannot find the host "{host}"',
            "give its IP address in --sip, or in the `target` of the line that leads to the PBX",
        ) from None
    address = str(found[0][4][0])
    if ca is not None and not ca.is_file():
        raise CliError(f"{ca} is not a file", "--tls-ca takes a PEM file of authorities", status=2)
    try:
        here = host_towards(address)
    except OSError:
        raise CliError(
            f"there is no network route to {address}",
            "check --sip, or the `target` of the line that leads to the PBX",
        ) from None
    caller, caller_port = _split(bind, 0, "--bind") if bind else (here, 0)
    return Addresses(address, port, transport, host, here, caller, caller_port, ca)


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


def passwords_of(questions: Sequence[str], order: str, *, from_stdin: bool) -> list[str]:
    """Return a password for each question, such as "SIP password of 201".

    The user types them. With `from_stdin`, each is a line of standard input. Raises `CliError` if
    the number of lines is wrong, or if there is no terminal to ask. An error's hint shows `order`,
    which names the order of the lines.
    """
    if from_stdin:
        given = sys.stdin.read().splitlines()
        if len(given) != len(questions):
            raise CliError(
                f"lines on standard input: {len(given)}; passwords needed: {len(questions)}",
                f"write one password on each line, in this order: {order}",
                status=2,
            )
        return given
    if questions and not sys.stdin.isatty():
        raise CliError(
            f"the {questions[0]} is missing, and there is no terminal to ask for it",
            "use --password-stdin",
            status=2,
        )
    return [str(typer.prompt(question, hide_input=True, err=True)) for question in questions]


def check_names(plan: Plan) -> None:
    """Raise CliError, before a phone rings, if a number or name cannot be in a SIP URI."""
    wanted = {"the number": plan.number, "--transfer": plan.transfer, "--attended": plan.attended}
    accounts = [a.extension for a in (*plan.answering, *([plan.acts_as] if plan.acts_as else ()))]
    for what, text in wanted.items():
        if (text or what == "the number") and not _is_number(text):
            hint = "write digits, such as 01970000000, or a SIP URI"
            raise CliError(f'{what} "{text}" cannot be dialled', hint, status=2)
    if not all(map(is_user, (plan.caller, *accounts))):
        hint = "give only the part of a SIP address before the @"
        raise CliError("an extension, or the number of --from, is not valid", hint, status=2)


def _is_number(text: str) -> bool:
    if not text.lower().startswith(("sip:", "sips:", "tel:")):
        return is_user(text)
    try:
        Uri.parse(text)
    except ParseError:
        return False
    return True
