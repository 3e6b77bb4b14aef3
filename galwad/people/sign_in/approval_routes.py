"""The steps of a sign-in that a person approves on the page, for command lines and for panels."""

from __future__ import annotations

from math import ceil
from typing import Final

from fastapi import Request

from galwad.host.errors import ApiError
from galwad.people.sessions import Session
from galwad.people.sign_in.approvals import LIFETIME_S, Approvals, WaitingClient
from galwad.people.sign_in.bodies import WaitingCode, WaitingSecret, WaitingSignIn
from galwad.people.subject import PeopleDesk
from net.addresses import network_of

_INTERVAL_S: Final = 2.0


def begin_waiting(
    desk: PeopleDesk, request: Request, waiting: Approvals, fragment: str, site: str = ""
) -> WaitingSignIn:
    """Let a client wait. A person approves it on the page, at the address with `fragment`."""
    address = address_of(request)
    secret, client = waiting.begin(address, network_of(address), site)
    return WaitingSignIn(
        secret=secret,
        code=client.code,
        page=f"{desk.host.settings.desk.origin}/{fragment}",
        interval_s=_INTERVAL_S,
        lifetime_s=LIFETIME_S,
    )


def find_waiting(
    desk: PeopleDesk, session: Session, waiting: Approvals, body: WaitingCode
) -> WaitingClient:
    """Return the client that waits with the code that a person has entered.

    Raises `ApiError` (404) if no client waits, or (429) if the person has entered too many codes.
    """
    wait = ceil(desk.people.codes.take(session.user.name))
    if wait:
        raise ApiError(429, "too many codes", f"wait {wait} s, then try again", wait)
    found = waiting.find(body.code.get_secret_value())
    if found is None:
        raise _none()
    return found


async def approve_waiting(
    desk: PeopleDesk, request: Request, session: Session, waiting: Approvals, found: WaitingClient
) -> None:
    """Let a client sign in as the signed-in person, after the audit entry of the approval.

    Raises `ApiError` (404) if the client does not wait any more.
    """
    personal = {
        "user": session.user.name,
        "address": found.address,
        "approved_at": address_of(request),
    }
    await desk.host.audit.append("sign-in.approved", _facts(found), personal)
    if waiting.approve(found.code, session) is None:
        raise _none()


async def redeem(
    desk: PeopleDesk, request: Request, waiting: Approvals, body: WaitingSecret
) -> Session:
    """Return the session that approved the client with this secret, and audit the sign-in.

    An approved client can do this only once.

    Raises:
        ApiError: 409, the client is not approved yet: `reason` is "waiting". 410, no client waits
            with this secret any more. 401, the session in which it was approved has ended.
    """
    found = waiting.redeem(body.secret.get_secret_value())
    if found is None:
        raise ApiError(410, "the code was not approved in time", "begin again")
    if found.approver is None:
        raise ApiError(
            409, "the code is not approved yet", "enter the code on the page", reason="waiting"
        )
    if not await desk.people.sessions.alive(found.approver):
        raise ApiError(401, "the session that approved this sign-in has ended", "begin again")
    personal = {"user": found.approver.user.name, "address": address_of(request)}
    await desk.host.audit.append("sign-in.accepted", {**_facts(found), "method": "page"}, personal)
    return found.approver


async def opened(desk: PeopleDesk, token: str) -> Session:
    """Count the sign-in, and return the session with this token, which was opened just now.

    Raises `ApiError` (401) if the account was disabled just now.
    """
    session = await desk.people.sessions.find(token)
    if session is None:
        raise ApiError(401, "the account was disabled just now", "ask your administrator")
    desk.people.metrics.sign_ins.labels("accepted").inc()
    return session


def address_of(request: Request) -> str:
    """Return the network address of the client that has sent a request."""
    return request.client.host if request.client else ""


def _facts(client: WaitingClient) -> dict[str, str]:
    return {"client": "panel", "site": client.site} if client.site else {"client": "cli"}


def _none() -> ApiError:
    return ApiError(404, "nothing waits with this code", "look at the code again, or begin again")
