"""The real PBX behind Galwad in a matrix: the line that leads to it, and two phones there.

It makes the transfers by itself, and Galwad sees of them only what the PBX names.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from galwad.cli.simulate.phones import Answerer
from galwad.cli.simulate.plan import PhoneTransport, Plan, SipLogin, locate
from galwad.cli.simulate.steps import StepError
from telephony.errors import ParseError
from telephony.sip.message.uri import Uri

if TYPE_CHECKING:
    from galwad.settings import Settings
    from galwad.settings.switch import Route

NO_PBX: Final = (
    "no route has a `target` with `advisors`, so there is no PBX behind Galwad that could transfer"
)
_OF_THE_PBX: Final = (
    "--pbx-answer takes two extensions of the PBX, with the passwords that they have there"
)


@dataclass(frozen=True, slots=True)
class PbxLine:
    """A line that leads to a PBX; `dialled` is what Galwad dials there, such as a queue."""

    number: str
    dialled: str
    address: str
    transport: PhoneTransport


def has_pbx(settings: Settings) -> bool:
    """Return whether a route of the settings leads to a PBX with advisors."""
    return any(map(_leads_to_pbx, settings.routes))


def _leads_to_pbx(route: Route) -> bool:
    return bool(route.target and route.advisors)


def pbx_line(settings: Settings, number: str) -> PbxLine:
    """Return the line `number`, which must lead to a PBX.

    Raises:
        StepError: It does not, or the target of its route cannot be read.
    """
    route = settings.find_route(number)
    if route is None or not route.target or not route.advisors:
        raise StepError(
            f"the line {number} does not lead to a PBX",
            "give a number with --pbx-line whose [[routes]] entry has `target` and `advisors`",
        )
    try:
        uri = Uri.parse(route.target[0])
        transport = PhoneTransport(str(uri.parameter("transport") or "udp").lower())
    except (ParseError, ValueError) as error:
        raise StepError(f"the target of {number} cannot be read: {error}") from None
    secure = transport is PhoneTransport.TLS
    port = uri.port or (5061 if secure else 5060)
    return PbxLine(number, uri.user or "", f"{uri.host}:{port}", transport)


class PbxPhones:
    """Two simulated phones that are registered at the PBX: an advisor's and a department's."""

    def __init__(self, plan: Plan, line: PbxLine, advisor: SipLogin, department: SipLogin) -> None:
        """Set up the phones; raise CliError if the PBX cannot be resolved or reached."""
        addresses = locate(line.address, line.transport, "", plan.addresses.ca)
        there = replace(plan, addresses=addresses)
        self.line = line
        self.advisor = Answerer(there, advisor)
        self.department = Answerer(there, department)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Register both phones; raise StepError if the PBX refuses or does not answer."""
        for phone in (self.advisor, self.department):
            try:
                await self._stack.enter_async_context(phone)
            except BaseException as error:
                await self._stack.aclose()
                if not isinstance(error, StepError):
                    raise
                text = f"{phone.extension} cannot register at the PBX: {error.text}"
                raise StepError(text, _OF_THE_PBX) from None
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
