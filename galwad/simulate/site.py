"""The installation that a matrix tests, and its simulated phones.

The PBX behind Galwad is a real one. If it transfers a call by itself, Galwad learns of this only if
the PBX names the new party.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final, Self

from galwad.cli.support.console import CliError
from galwad.simulate.api import MatrixApi
from galwad.simulate.phones import Answerer, calling_phone
from galwad.simulate.plan import PhoneTransport, Plan, SipLogin, locate
from galwad.simulate.report import StepError, socket_error
from telephony.errors import ParseError
from telephony.phone import VoIPPhone
from telephony.sip.message.uri import Uri

if TYPE_CHECKING:
    from galwad.settings import Settings
    from galwad.settings.switch import Destination, DestinationClassName


class Need(Enum):
    """A thing that a row needs, apart from the caller. The value says how to configure it."""

    ADVISOR = "give --answer EXTENSION: a phone that the line rings"
    CODES = "set [recording] payment_code_on and payment_code_off"
    MACHINE = "set $GALWAD_PAUSE_TOKEN to the token of a machine that has the right `payments`"
    PAGE = "give --advisor NAME: the user at the phone of --answer"
    COLLEAGUE = "give a second --answer EXTENSION: the phone of a colleague"
    OUTSIDE = (
        "add a number of the class department or external to [[destinations]], with a `target` on "
        "this machine, and give this number with --outside NUMBER"
    )
    PAYMENT_LINE = (
        "add a number of the class payment to [[destinations]], with a `target` on this machine, "
        "and give this number with --outside NUMBER"
    )
    CARD = "give --card, which makes an incident: a card number is keyed outside a pause"
    PBX = (
        "give --pbx-answer twice: the extension of an advisor and that of a department at the PBX; "
        "if NUMBER does not lead to the PBX, also give --pbx-line LINE"
    )
    NEAR_PAUSE = "set [recording] digits_near_pause to more than 0"


NO_PBX: Final = (
    "no route has a `target` with `advisors`, so there is no PBX behind Galwad that could transfer"
)
_OF_THE_PBX: Final = (
    "give --pbx-answer two extensions of the PBX, and the passwords that they have there"
)


@dataclass(frozen=True, slots=True)
class OutsideNumber:
    """A number outside the centre, whose calls arrive at this machine."""

    number: str
    kind: DestinationClassName
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class PbxLine:
    """A line that leads to a PBX. `dialled` is what Galwad dials there, such as a queue."""

    number: str
    dialled: str
    address: str
    transport: PhoneTransport


def outside_number(settings: Settings, number: str) -> OutsideNumber:
    """Return a number of --outside with the address of its first target.

    Raises `CliError` if it is not a number outside the centre, or if its first target cannot be
    read or is not reached by UDP.
    """
    found: Destination | None = settings.find_destination(f"sip:{number}@galwad.invalid", number)
    if found is None or found.class_ == "centre" or found.target is None:
        raise CliError(
            f"--outside {number} is not a destination outside the centre with a `target`",
            'add the number to [[destinations]], with a class other than "centre" and a `target` '
            "on this machine",
            status=2,
        )
    uri, transport = _target(found.target, number)
    if transport != PhoneTransport.UDP:
        raise CliError(
            f"the target of --outside {number} is not reached by UDP",
            "leave out the transport in this `target`",
            status=2,
        )
    return OutsideNumber(number, found.class_, uri.host, uri.port or 5060)


def _target(uris: Sequence[str], number: str) -> tuple[Uri, str]:
    """Return the first target of `number`, and its transport; raise CliError if it is no URI."""
    try:
        uri = Uri.parse(uris[0])
    except ParseError as error:
        raise _unreadable(number, error) from None
    return uri, str(uri.parameter("transport") or "udp").lower()


def _unreadable(number: str, error: Exception) -> CliError:
    return CliError(
        f"the target of {number} cannot be read: {error}",
        "correct `target` in [[routes]] or [[destinations]]",
        status=2,
    )


def has_pbx(settings: Settings) -> bool:
    """Return whether a route of the settings leads to a PBX with advisors."""
    return any(route.target and route.advisors for route in settings.routes)


def pbx_line(settings: Settings, number: str) -> PbxLine:
    """Return the line `number`, which must lead to a PBX.

    Raises `CliError` if it does not, or if the target of its route cannot be read.
    """
    route = settings.find_route(number)
    if route is None or not route.target or not route.advisors:
        raise CliError(
            f"the line {number} does not lead to a PBX",
            "give --pbx-line LINE: a line whose table [[routes]] has both `target` and `advisors`",
            status=2,
        )
    uri, name = _target(route.target, number)
    try:
        transport = PhoneTransport(name)
    except ValueError as error:
        raise _unreadable(number, error) from None
    secure = transport is PhoneTransport.TLS
    port = uri.port or (5061 if secure else 5060)
    return PbxLine(number, uri.user or "", f"{uri.host}:{port}", transport)


class PbxPhones:
    """Two simulated phones that register at the PBX: an advisor's and a department's."""

    def __init__(self, plan: Plan, line: PbxLine, advisor: SipLogin, department: SipLogin) -> None:
        """Set up the phones; raise CliError if the PBX cannot be resolved or reached."""
        addresses = locate(line.address, line.transport, "", plan.addresses.ca)
        there = replace(plan, addresses=addresses)
        self.line = line
        self.advisor = Answerer(there, advisor)
        self.department = Answerer(there, department)

    async def register(self, stack: AsyncExitStack) -> None:
        """Register both phones until `stack` closes; raise StepError if that fails."""
        for phone in (self.advisor, self.department):
            try:
                await stack.enter_async_context(phone)
            except StepError as error:
                text = f"{phone.extension} cannot register at the PBX: {error.message}"
                raise StepError(text, _OF_THE_PBX) from None


class Site:
    """The settings, the users of the API and the phones of one run.

    A row holds the lock `ringing` while its phones ring, so that it answers no call of another row.
    With `keys_card`, a row may key a card number outside a pause.
    """

    def __init__(
        self,
        plan: Plan,
        settings: Settings,
        api: MatrixApi,
        outside: Iterable[OutsideNumber],
        *,
        pbx: PbxPhones | None = None,
        keys_card: bool = False,
    ) -> None:
        self._keys_card = keys_card
        self.plan = plan
        self.settings = settings
        self.api = api
        self.ringing = asyncio.Lock()
        self.caller: VoIPPhone = calling_phone(plan)
        self.pbx = pbx
        self.phones: dict[Need, Answerer] = dict(
            zip(
                (Need.ADVISOR, Need.COLLEAGUE),
                (Answerer(plan, account) for account in plan.answering),
                strict=False,
            )
        )
        """The simulated phones of this run, except those of the caller and of the PBX's advisor."""
        for where in sorted(outside, key=lambda each: each.kind == "department"):
            need = Need.PAYMENT_LINE if where.kind == "payment" else Need.OUTSIDE
            account = SipLogin(where.number, "")
            self.phones[need] = Answerer(plan, account, (where.host, where.port))
        if pbx is not None:
            self.phones[Need.PBX] = pbx.department
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open and register the phones; raise StepError if that fails."""
        async with AsyncExitStack() as stack:
            for need, phone in self.phones.items():
                if need is not Need.PBX:
                    await stack.enter_async_context(phone)
            if self.pbx is not None:
                await self.pbx.register(stack)
            try:
                await stack.enter_async_context(self.caller)
            except OSError as error:
                raise socket_error(self.plan, error) from None
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def ceases_at_request(self) -> bool:
        """True if a transfer outside ends the recording at the request, not at the answer."""
        return self.settings.recording.point_of_transfer == "request"

    def missing(self, need: Need) -> str:
        """Return what must be configured for `need`; "" if nothing is missing."""
        there = {
            Need.CODES: self.settings.recording.payment_code_on is not None,
            Need.MACHINE: bool(self.api.machine_token),
            Need.PAGE: self.api.page_login is not None,
            Need.CARD: self._keys_card,
            Need.NEAR_PAUSE: self.settings.recording.digits_near_pause > 0,
        }
        return "" if there.get(need, need in self.phones) else need.value
