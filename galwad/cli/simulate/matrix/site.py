"""The installation that a matrix tests, as its settings describe it, and its simulated phones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Self

from galwad.cli.simulate.matrix.pbx import PbxPhones
from galwad.cli.simulate.matrix.requests import MatrixApi
from galwad.cli.simulate.phones import Answerer, socket_error
from galwad.cli.simulate.plan import Plan
from galwad.cli.simulate.steps import StepError
from telephony.errors import ParseError
from telephony.phone import CallState, VoIPCall, VoIPPhone
from telephony.sip.message.uri import Uri

if TYPE_CHECKING:
    from galwad.settings import Settings
    from galwad.settings.switch import Destination, DestinationClassName


class Need(Enum):
    """A thing that a row needs, apart from the caller."""

    ADVISOR = "an advisor's phone"
    CODES = "dialled codes"
    MACHINE = "a payment system"
    PAGE = "the advisor's page"
    COLLEAGUE = "a colleague's phone"
    OUTSIDE = "a party outside the centre"
    PAYMENT_LINE = "a payment line"
    CARD = "a card number that may be keyed"
    PBX = "two phones of the PBX"
    NEAR_PAUSE = "digits that are silenced near a pause"


_TO_CONFIGURE: Final = {
    Need.ADVISOR: "give the phone that the line rings with --answer EXTENSION",
    Need.CODES: "set [recording] payment_code_on and payment_code_off",
    Need.MACHINE: "put the token of a machine with the right `payments` into $GALWAD_PAUSE_TOKEN",
    Need.PAGE: "give the user at the phone of --answer with --advisor NAME",
    Need.COLLEAGUE: "give a second phone with --answer EXTENSION",
    Need.OUTSIDE: "add a number of the class department or external to [[destinations]], with a "
    "`target` on this machine, and give it with --outside NUMBER",
    Need.PAYMENT_LINE: "add a number of the class payment to [[destinations]], with a `target` on "
    "this machine, and give it with --outside NUMBER",
    Need.CARD: "give --card, which makes an incident: a card number is keyed outside a pause",
    Need.PBX: "give two extensions of the PBX with --pbx-answer, an advisor's and a department's; "
    "and with --pbx-line a line that leads there, if NUMBER does not",
    Need.NEAR_PAUSE: "set [recording] digits_near_pause to more than 0",
}
_OUTSIDE_CLASSES: Final[tuple[DestinationClassName, ...]] = ("department", "external")


@dataclass(frozen=True, slots=True)
class OutsideNumber:
    """A number outside the centre, whose calls arrive at this machine."""

    number: str
    kind: DestinationClassName
    host: str
    port: int


class OutsidePhone:
    """A simulated phone outside the centre: the server calls it without a registration."""

    def __init__(self, plan: Plan, where: OutsideNumber) -> None:
        self.extension = where.number
        self.incoming: asyncio.Queue[VoIPCall] = asyncio.Queue()
        self._plan = plan
        self._phone = plan.outside_phone(where.number, (where.host, where.port), self.incoming.put)

    async def __aenter__(self) -> Self:
        """Open the phone's port; raise StepError if it is in use or not on this machine."""
        try:
            await self._phone.start()
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise StepError(
                f"cannot answer as {self.extension} at {self._phone.address.host}:"
                f"{self._phone.address.port}: {reason}",
                "the `target` of this destination must be a free port of this machine",
            ) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._phone.stop()


RingingPhone = Answerer | OutsidePhone


def outside_number(settings: Settings, number: str) -> OutsideNumber:
    """Return the destination that the settings have for a number of --outside.

    Raises:
        StepError: There is none outside the centre whose target is an address for UDP.
    """
    found: Destination | None = settings.find_destination(f"sip:{number}@galwad.invalid", number)
    if found is None or found.class_ == "centre" or found.target is None:
        raise StepError(
            f"--outside {number} is not a number outside the centre with a `target`",
            "add it to [[destinations]]; its `target` must be on this machine",
        )
    try:
        uri = Uri.parse(found.target[0])
    except ParseError as error:
        raise StepError(f"the target of {number} cannot be read: {error}") from None
    if str(uri.parameter("transport") or "udp").lower() != "udp":
        raise StepError(
            f"the target of --outside {number} is not reached by UDP", "leave out its transport"
        )
    return OutsideNumber(number, found.class_, uri.host, uri.port or 5060)


class Site:
    """The settings, the users of the API and the phones of one run.

    Only one row at a time lets a phone ring (`ringing`), so that each call that rings is its own.
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
        self.caller: VoIPPhone = plan.calling_phone()
        phones = [Answerer(plan, account) for account in plan.answering]
        self.advisor = phones[0] if phones else None
        self.colleague = phones[1] if len(phones) > 1 else None
        self.pbx = pbx
        self._outside = {where.kind: OutsidePhone(plan, where) for where in outside}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open and register the phones; raise StepError if that fails."""
        own = (self.advisor, *self._outside.values(), self.colleague, self.pbx)
        try:
            for phone in own:
                if phone is not None:
                    await self._stack.enter_async_context(phone)
            try:
                await self._stack.enter_async_context(self.caller)
            except OSError as error:
                raise socket_error(self.plan, error) from None
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def ceases_at_request(self) -> bool:
        """True if a transfer outside ceases the recording when it is requested."""
        return self.settings.recording.point_of_transfer == "request"

    @property
    def outside(self) -> OutsidePhone | None:
        """The phone outside the centre, which is not a payment line; None if there is none."""
        found = (self._outside.get(kind) for kind in _OUTSIDE_CLASSES)
        return next((phone for phone in found if phone is not None), None)

    @property
    def payment_line(self) -> OutsidePhone | None:
        """The phone of a payment line; None if there is none."""
        return self._outside.get("payment")

    def missing(self, need: Need) -> str:
        """Return what must be configured for `need`; "" if it is there."""
        there = {
            Need.ADVISOR: self.advisor is not None,
            Need.CODES: self.settings.recording.payment_code_on is not None,
            Need.MACHINE: bool(self.api.machine_token),
            Need.PAGE: self.api.page_login is not None,
            Need.COLLEAGUE: self.colleague is not None,
            Need.OUTSIDE: self.outside is not None,
            Need.PAYMENT_LINE: self.payment_line is not None,
            Need.CARD: self._keys_card,
            Need.PBX: self.pbx is not None,
            Need.NEAR_PAUSE: self.settings.recording.digits_near_pause > 0,
        }
        return "" if there[need] else _TO_CONFIGURE[need]

    async def next_ringing(self, phone: RingingPhone, *callers: str) -> VoIPCall:
        """Return a call of one of `callers` that rings at `phone`; leave others to a real phone.

        Raises:
            StepError: No such call rings in time.
        """
        try:
            async with asyncio.timeout(self.plan.timeout):
                while True:
                    call = await phone.incoming.get()
                    if call.state is CallState.RINGING and _is_from(call, callers):
                        return call
        except TimeoutError:
            raise StepError(
                f"{phone.extension} did not ring within {self.plan.timeout:g} s",
                "see the log of galwad-switch",
            ) from None


def _is_from(call: VoIPCall, callers: Iterable[str]) -> bool:
    """Return whether one of `callers` placed the call, with or without its national prefix."""
    user = call.remote.uri.user or ""
    return any(user == caller or user.endswith(caller.lstrip("0")) for caller in callers)
