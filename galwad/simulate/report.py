"""The report of a simulation: its steps with their results, and its errors with hints.

The errors explain SIP statuses to the administrator.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

from rich.text import Text

from galwad.cli.support.console import CliError, console
from galwad.simulate.plan import PhoneTransport, Plan
from telephony.sip.message.grammar import REASONS

Figures: TypeAlias = Mapping[str, float | int | str | list[int]]


class StepResult(StrEnum):
    """The possible results of a step."""

    FINE = "ok"
    WARNING = "warn"
    FAULT = "FAIL"
    SKIPPED = "skip"


_MARKS: Final = {
    StepResult.FINE: ("✓", "ok", "green"),
    StepResult.WARNING: ("!", "warn", "yellow"),
    StepResult.FAULT: ("✗", "FAIL", "bold red"),
    StepResult.SKIPPED: ("-", "skip", "dim"),
}


class StepError(CliError):
    """A step has failed, and later steps depend on it."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the simulation and its result."""

    name: str
    verdict: StepResult
    text: str
    hint: str = ""
    figures: Figures = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the step as a mapping for JSON output, without the empty fields."""
        return without_empty(
            step=self.name,
            verdict=self.verdict.lower(),
            text=self.text,
            hint=self.hint,
            figures=dict(self.figures),
        )


class Report:
    """The steps that have been run so far, from the first to the newest, with their results."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def ok(self, name: str, text: str, **figures: float | str | list[int]) -> None:
        """Add a step that succeeded."""
        self.steps.append(Step(name, StepResult.FINE, text, figures=figures))

    def warn(self, name: str, text: str, hint: str, **figures: float | str | list[int]) -> None:
        """Add a step that succeeded, but whose result the administrator should examine."""
        self.steps.append(Step(name, StepResult.WARNING, text, hint, figures))

    def fail(self, name: str, text: str, hint: str, **figures: float | str | list[int]) -> None:
        """Add a step that failed. This does not end the simulation."""
        self.steps.append(Step(name, StepResult.FAULT, text, hint, figures))

    def skip(self, name: str, text: str) -> None:
        """Add a step that was not run or not judged. It is neither a success nor a failure."""
        self.steps.append(Step(name, StepResult.SKIPPED, text))

    @asynccontextmanager
    async def step(self, name: str) -> AsyncIterator[None]:
        """If the body raises a `StepError`, add a failed step and raise the error again."""
        try:
            yield
        except StepError as error:
            self.fail(name, error.message, error.hint)
            raise

    @property
    def faults(self) -> list[Step]:
        """The steps that failed."""
        return [step for step in self.steps if step.verdict is StepResult.FAULT]

    def print(self) -> None:
        """Print one line for each step, and the step's hint below the line."""
        out = console()
        plain = not (out.encoding or "").lower().startswith("utf")
        width = max((len(step.name) for step in self.steps), default=0)
        for step in self.steps:
            tick, word, style = _MARKS[step.verdict]
            mark = f"{word:<4}" if plain else tick
            out.print(Text(mark, style), end="  ")
            out.print(f"{step.name:<{width}}  {step.text}")
            if step.hint:
                out.print(f"{'':{len(mark) + 4 + width}}hint: {step.hint}")


def without_empty(**fields: object) -> dict[str, object]:
    """Return the fields that are not empty, for JSON output."""
    return {name: value for name, value in fields.items() if value}


def elapsed_ms(began: float) -> int:
    """Return the milliseconds that have passed since `began`, a time of the monotonic clock."""
    return round((time.monotonic() - began) * 1000)


# --- the errors -------------------------------------------------------------------------------

LOG: Final = "the log of galwad-switch says more"
_REACH: Final = (
    "check that `galwad serve` runs there, that --sip is an address of [sip] listen, that the "
    "firewall is open, and that the server has not barred this machine (source.banned in the log "
    "of galwad-switch)"
)
_TLS: Final = ". For tls: the certificate must name the host of --sip"
_FULL: Final = (
    "the log of galwad-switch says why: it is overloaded (switch.overloaded), or being stopped"
)
_ASK: Final = (
    "`galwad users add` printed the SIP password once; `galwad users sip-password NAME` makes "
    "another"
)
_ONE_TRANSPORT: Final = "see `transport` of this phone in [[phones]]"
_TRUNK: Final = (
    "if the phones' address is also that of a trunk, give the trunk a port: "
    'peers = ["HOST:5070"], and --bind HOST:5070'
)
_RECORDED: Final = "only calls from trunks are recorded, unless [recording] include_phones is true"
_Known: TypeAlias = Mapping[int, tuple[str, str]]
_REGISTER: Final[_Known] = {
    401: ("wrong password for {who}", _ASK),
    403: ("{who} may not register by {way}", _ONE_TRANSPORT),
    503: ("the server takes no phones now", _FULL),
}
_INVITE: Final[_Known] = {
    403: ("{who} may not call by {way}", _ONE_TRANSPORT),
    404: (
        "there is no route for {number}",
        "add a table [[routes]] whose `called` matches the number",
    ),
    408: ("no answer", "the phone that rang was not answered in time"),
    480: (
        "no phone could be rung, or none answered",
        "register a phone that the route of {number} rings, such as --answer 201",
    ),
    486: ("busy", "the phone that answers is in another call"),
    488: ("no common media", "try --srtp off or required, and check srtp in the settings"),
    503: ("the server takes no new calls", _FULL),
    603: ("declined", "the phone that rang declined the call"),
}
_TRANSFER: Final[_Known] = {
    404: ("there is no route for {number}", _TRUNK),
    408: ("no answer at {number}", "check that a phone is registered there"),
    480: ("no answer at {number}", "register a phone there, with a second --answer"),
    603: (
        "{number} may not be dialled",
        "add the number to [[destinations]], or register a phone there",
    ),
}
_PAUSE: Final[_Known] = {
    400: (
        "the server does not understand the key",
        "check that --sip names a Galwad of this version",
    ),
    480: ("{who} has no call that is recorded", _RECORDED),
    481: ("the server has lost the call", "the log of galwad-switch says why"),
    500: (
        "the recording stays paused: the disk has not confirmed the request in time",
        "check the disk's load, and the alarm recording.not_durable",
    ),
}


def _explained(known: _Known, status: int, **words: str) -> StepError:
    text, hint = known.get(status, (REASONS.get(status, "refused"), LOG))
    return StepError(f"{status}: {text.format(**words)}", hint.format(**words))


def unreachable_error(plan: Plan) -> StepError:
    """Return the error for the case that the server did not respond."""
    hint = _REACH + (_TLS if plan.addresses.transport is PhoneTransport.TLS else "")
    return StepError(f"no answer from {plan.addresses}", hint)


def reason_of(error: OSError) -> str:
    """Return the system's text for the error, in lower case."""
    return (error.strerror or type(error).__name__).lower()


def socket_error(plan: Plan, error: OSError) -> StepError:
    """Return the error for a socket that cannot be bound to the local address or cannot connect."""
    return StepError(
        f"cannot connect from {plan.addresses.caller} to {plan.addresses}: {reason_of(error)}",
        "check that the server listens there; --bind, if given, must be an address of this machine",
    )


def registration_error(plan: Plan, extension: str, status: int) -> StepError:
    """Return the error for `extension`, whose registration the server refused with `status`."""
    return _explained(_REGISTER, status, who=extension, way=plan.addresses.transport)


def call_error(plan: Plan, status: int) -> StepError:
    """Return the error for a call that failed with this SIP status; 0 means no response."""
    if status == 0:
        return unreachable_error(plan)
    if status in {401, 407}:
        if plan.acts_as is not None:
            return StepError(f"{status}: wrong password for {plan.acts_as.extension}", _ASK)
        return StepError(
            f"{status}: {plan.addresses.caller} is not a trunk there",
            "add this address to [[trunks]] peers; or call as a phone: galwad simulate call --as",
        )
    words = {"who": plan.caller_name, "way": plan.addresses.transport, "number": plan.number}
    return _explained(_INVITE, status, **words)


def transfer_error(number: str, status: int) -> StepError:
    """Return the error for a transfer to `number` that failed with this SIP status."""
    return _explained(_TRANSFER, status, number=number)


def pause_error(extension: str, status: int) -> StepError:
    """Return the error for `extension`, whose request to pause or resume got this SIP status."""
    return _explained(_PAUSE, status, who=extension)
