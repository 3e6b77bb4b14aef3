"""The errors of a simulation, which explain SIP statuses to the administrator, with hints."""

from __future__ import annotations

from typing import Final

from galwad.cli.simulate.plan import PhoneTransport, Plan
from galwad.cli.simulate.steps import StepError
from telephony.sip.message.grammar import REASONS

_REACH: Final = (
    "check that `galwad serve` runs there, that [sip] listen is as given, that the firewall is "
    "open, and that this address is not barred (source.banned in its log)"
)
_TLS: Final = ". For tls: the certificate must name the host of --sip"
_FULL: Final = "its log says why: switch.overloaded has a reason, or it is being stopped"
_ASK: Final = "`galwad users add` printed it once; `galwad users sip-password NAME` makes a new one"
_TRUNK: Final = (
    "if the phones' address is also that of a trunk, give the trunk a port: "
    'peers = ["HOST:5070"], and --bind HOST:5070'
)

_INVITE: Final = {
    403: ("{who} may not call by {way}", "see its transport in the settings"),
    404: ("there is no route for {number}", "add it to [[routes]] called"),
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


def unreachable_error(plan: Plan) -> StepError:
    """Return the error for the case that the server did not respond."""
    hint = _REACH + (_TLS if plan.addresses.transport is PhoneTransport.TLS else "")
    return StepError(f"no answer from {plan.addresses}", hint)


def registration_error(plan: Plan, extension: str, status: int) -> StepError:
    """Return the error for `extension`, whose registration the server refused with `status`."""
    way = plan.addresses.transport
    text, hint = {
        401: (f"wrong password for {extension}", _ASK),
        403: (f"{extension} may not register by {way}", "see its transport in the settings"),
        503: ("the server takes no phones now", _FULL),
    }.get(status, (_reason(status), "the log of galwad-switch says more"))
    return StepError(f"{status}: {text}", hint)


def call_error(plan: Plan, status: int) -> StepError:
    """Return the error for a call that failed with this SIP status; 0 means no response."""
    words = {"who": plan.caller_name, "way": plan.addresses.transport, "number": plan.number}
    if status in {401, 407} and plan.acts_as is not None:
        text, hint = f"wrong password for {plan.acts_as.extension}", _ASK
    elif status in {401, 407}:
        text = f"{plan.addresses.caller} is not a trunk there"
        hint = "add that address to [[trunks]] peers, or call with --as as a phone"
    elif status == 0:
        return unreachable_error(plan)
    else:
        text, hint = _INVITE.get(status, (_reason(status), "the log of galwad-switch says more"))
    return StepError(f"{status}: {text.format(**words)}", hint.format(**words))


def transfer_error(number: str, status: int) -> StepError:
    """Return the error for a transfer to `number` that failed with this SIP status."""
    text, hint = {
        404: (f"there is no route for {number}", _TRUNK),
        408: (f"no answer at {number}", "check that a phone is registered there"),
        480: (f"no answer at {number}", "register a phone there: a second --answer"),
        603: (f"{number} may not be dialled", "add it to [[destinations]], or register it"),
    }.get(status, (_reason(status), "the log of galwad-switch says more"))
    return StepError(f"{status}: {text}", hint)


def pause_error(extension: str, status: int) -> StepError:
    """Return the error for `extension`, whose request to pause or resume got this SIP status."""
    text, hint = {
        400: ("the server does not understand the key", "it is not Galwad, or of another version"),
        480: (f"{extension} has no call that is recorded", "calls from trunks are recorded"),
        481: ("the server has lost the call", "its log says why"),
        500: (
            "paused, but the disk has not confirmed it in time",
            "check the disk's load, and the alarm recording.not_durable",
        ),
    }.get(status, (_reason(status), "the log of galwad-switch says more"))
    return StepError(f"{status}: {text}", hint)


def _reason(status: int) -> str:
    return REASONS.get(status, "refused")
