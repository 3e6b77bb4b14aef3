"""Endpoints to sign in, to sign out, and to get the facts about the signed-in user."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from galwad.desk.auth.sessions import Session
from galwad.desk.auth.users import User
from galwad.desk.errors import ApiError
from galwad.desk.models.accounts import Login, Me
from galwad.desk.networks import network_of
from galwad.desk.routes.access import SignedIn, TheDesk, session_of
from galwad.desk.service import Desk

router = APIRouter()
_BUSY_S = 2
_DEVICE_S = 180 * 86_400


@router.post("/login")
async def login(body: Login, request: Request, response: Response, desk: TheDesk) -> Me:
    """Sign a user in by name and password.

    After too many failed sign-ins for one account or from one network, the client must wait before
    the next sign-in, and receives the status 429. It also receives this status while too many
    sign-ins of strangers wait for the check of their passwords.
    """
    address = request.client.host if request.client else ""
    name = body.user.lower()
    tokens = request.cookies.get(desk.options.device_cookie, "")
    device = desk.devices.device_of(name, tokens)
    wait = desk.throttle.wait(name, address, device)
    if wait:
        desk.metrics.sign_ins.labels("throttled").inc()
        raise ApiError(429, "too many failed sign-ins", f"wait {wait} s, then try again", wait)
    known = desk.throttle.is_known(name, address, device)
    network = network_of(address)
    if not desk.users.sign_ins.has_room(network, known=known):
        desk.metrics.sign_ins.labels("throttled").inc()
        raise ApiError(
            429, "too many sign-ins at once", f"wait {_BUSY_S} s, then try again", _BUSY_S
        )
    # The sign-in is counted as failed before the password is checked. Otherwise parallel sign-ins
    # could exceed the limit.
    desk.throttle.failed(name, address, device)
    async with desk.users.sign_ins.turn(network, known=known):
        user = await desk.users.check(name, body.password.get_secret_value())
    outcome = "accepted" if user is not None else "refused"
    desk.metrics.sign_ins.labels(outcome).inc()
    # An unknown name is not entered in the audit chain, because it may be a password typed into the
    # wrong field.
    named = user or await desk.users.get(name)
    await desk.audit.append(
        f"sign-in.{outcome}",
        {"client": body.client},
        {"user": named.name if named else "", "address": address},
    )
    if user is None:
        raise ApiError(401, "the name or the password is wrong", "check the capital letters")
    desk.throttle.succeeded(name, address, device)
    desk.places.know(network, time.monotonic())
    token = await desk.sessions.open(user.name, body.client)
    if body.client == "cli":
        return _me(user, token=token)
    response.set_cookie(
        desk.options.cookie,
        token,
        path="/",
        secure=desk.options.secure,
        httponly=True,
        samesite="strict",
    )
    response.set_cookie(
        desk.options.device_cookie,
        desk.devices.cookie_for(name, tokens),
        max_age=_DEVICE_S,
        path=request.url.path,
        secure=desk.options.secure,
        httponly=True,
        samesite="strict",
    )
    sessions = desk.sessions
    return _me(user, idle=sessions.idle, until=time.time() + sessions.absolute)


@router.post("/logout", status_code=204)
async def logout(
    response: Response, desk: TheDesk, session: Annotated[Session | None, Depends(session_of)]
) -> None:
    """Sign the user out: immediately end the session and its event streams."""
    if session is not None:
        await desk.sessions.close(session)
        await desk.audit.append("sign-out", {}, {"user": session.user.name})
        desk.hub.wake()
    response.delete_cookie(
        desk.options.cookie, path="/", secure=desk.options.secure, httponly=True, samesite="strict"
    )


@router.get("/me")
async def me(desk: TheDesk, session: SignedIn) -> Me:
    """Return the signed-in user. The request also counts as a use of the session."""
    return me_of(desk, session)


def me_of(desk: Desk, session: Session) -> Me:
    """Return the response body with the session's user and the session's limits."""
    idle = None if session.kind == "machine" else desk.sessions.idle
    return _me(session.user, idle=idle, until=session.until)


def _me(
    user: User, *, token: str | None = None, idle: float | None = None, until: float | None = None
) -> Me:
    return Me(
        user=user.name,
        role=user.role,
        language=user.language,
        extension=user.extension,
        token=token,
        idle=idle,
        until=until,
    )
