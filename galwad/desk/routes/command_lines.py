"""Endpoints to sign in a command line that a person approves on the page.

So people who sign in with the account of an OpenID provider can use the command line too, and no
password is typed there.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from fastapi import APIRouter, Request

from galwad.desk.auth.command_lines import LIFETIME_S, Approver, CommandLine, TooManyError
from galwad.desk.auth.sessions import Session
from galwad.desk.errors import ApiError
from galwad.desk.models.accounts import Me
from galwad.desk.models.command_lines import (
    CommandLineCode,
    CommandLineFacts,
    CommandLineSecret,
    WaitingCommandLine,
)
from galwad.desk.networks import network_of
from galwad.desk.routes.access import Person, TheDesk
from galwad.desk.routes.accounts import me_of
from galwad.desk.routes.step_up import SteppedUpPerson
from galwad.desk.service import Desk

router = APIRouter()
_INTERVAL_S: Final = 2.0
_FRAGMENT: Final = "#command-line"


@router.post("/command-lines", status_code=201)
async def begin(request: Request, desk: TheDesk) -> WaitingCommandLine:
    """Begin the sign-in of a command line.

    Raises:
        ApiError: 429, too many command lines wait for an approval.
    """
    address = _address(request)
    try:
        secret, waiting = desk.command_lines.begin(address, network_of(address))
    except TooManyError:
        raise ApiError(
            429, "too many command lines wait", "wait a minute, then try again", 60
        ) from None
    origin = desk.options.public_origin or desk.options.origin or str(request.base_url)
    return WaitingCommandLine(
        secret=secret,
        code=waiting.code,
        page=f"{origin.rstrip('/')}/{_FRAGMENT}",
        interval_s=_INTERVAL_S,
        lifetime_s=LIFETIME_S,
    )


@router.post("/command-lines/show")
async def show(body: CommandLineCode, desk: TheDesk, session: Person) -> CommandLineFacts:
    """Return the network address of the command line that waits with a code.

    Raises:
        ApiError: 404, no command line waits with this code. 429, too many codes.
    """
    return CommandLineFacts(address=_waiting(desk, session, body).address)


@router.post("/command-lines/approve", status_code=204)
async def approve(
    body: CommandLineCode, request: Request, desk: TheDesk, session: SteppedUpPerson
) -> None:
    """Let the command line that waits with a code sign in as the signed-in person.

    The approval is entered in the audit chain before it takes effect. The command line's session
    has the time of the person's stronger sign-in, if there was one.

    Raises:
        ApiError: 404, no command line waits with this code. 429, too many codes.
    """
    waiting = _waiting(desk, session, body)
    await desk.audit.append(
        "sign-in.approved",
        {"client": "cli"},
        {
            "user": session.user.name,
            "address": waiting.address,
            "approved_at": _address(request),
        },
    )
    code = body.code.get_secret_value()
    approver = Approver(session.user.name, session.provider, session.stepped_up)
    if desk.command_lines.approve(code, approver) is None:
        raise _none()


@router.post("/command-lines/token")
async def token(body: CommandLineSecret, request: Request, desk: TheDesk) -> Me:
    """Return the signed-in person and a token, if the command line is approved.

    Raises:
        ApiError: 409, it is not approved yet: `reason` is "waiting". 410, it was not approved in
            time. 401, the account was disabled just now.
    """
    found = desk.command_lines.redeem(body.secret.get_secret_value())
    if found is None:
        raise ApiError(410, "the code was not approved in time", "begin again")
    approver = found.approver
    if not approver.user:
        raise ApiError(
            409, "the code is not approved yet", "enter it on the page", reason="waiting"
        )
    personal = {"user": approver.user, "address": _address(request)}
    await desk.audit.append("sign-in.accepted", {"client": "cli", "method": "page"}, personal)
    made = await desk.sessions.open(
        approver.user, "cli", provider=approver.provider, stepped_up=approver.stepped_up
    )
    session = await desk.sessions.find(made)
    if session is None:
        raise ApiError(401, "the account was disabled just now", "ask your administrator")
    desk.metrics.sign_ins.labels("accepted").inc()
    return me_of(desk, session).model_copy(update={"token": made})


def _waiting(desk: Desk, session: Session, body: CommandLineCode) -> CommandLine:
    wait = ceil(desk.codes.take(session.user.name))
    if wait:
        raise ApiError(429, "too many codes", f"wait {wait} s, then try again", wait)
    found = desk.command_lines.find(body.code.get_secret_value())
    if found is None:
        raise _none()
    return found


def _none() -> ApiError:
    return ApiError(
        404, "no command line waits with this code", "look at the code again, or begin again"
    )


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
