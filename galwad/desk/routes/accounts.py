"""Endpoints to sign in, to sign out, and to get the facts about the signed-in user."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from galwad.desk.auth import embedding
from galwad.desk.auth.passwords import LEAST_LENGTH
from galwad.desk.auth.sessions import Session
from galwad.desk.auth.users import UserError
from galwad.desk.errors import ApiError
from galwad.desk.models.accounts import ChangePassword, Login, Me
from galwad.desk.models.sign_in import ProviderAddress
from galwad.desk.networks import network_of
from galwad.desk.routes.access import Person, SignedIn, TheDesk, session_of
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

    Raises:
        ApiError: 401, the name or the password is wrong. 403, no other site may show the page. 429,
            too many sign-ins have failed, or wait.
    """
    if body.client == "embedded" and not desk.options.embed_origins:
        raise ApiError(403, "no other site may show the page", "sign in on the desk's own page")
    address = request.client.host if request.client else ""
    name = body.user.lower()
    tokens = request.cookies.get(desk.options.device_cookie, "")
    device = desk.sign_in_limits.devices.device_of(name, tokens)
    _refuse_if_throttled(desk, name, address, device)
    known = desk.sign_in_limits.throttle.is_known(name, address, device)
    network = network_of(address)
    if not desk.users.sign_ins.has_room(network, known=known):
        desk.metrics.sign_ins.labels("throttled").inc()
        raise ApiError(
            429, "too many sign-ins at once", f"wait {_BUSY_S} s, then try again", _BUSY_S
        )
    # The sign-in is counted as failed before the password is checked. Otherwise parallel sign-ins
    # could exceed the limit.
    desk.sign_in_limits.throttle.failed(name, address, device)
    async with desk.users.sign_ins.turn(network, known=known):
        user = await desk.users.check(name, body.password.get_secret_value())
    if not _takes_password(desk, name):
        user = None  # as late as this, so that the time does not show whose password counts
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
    if desk.provider is not None and desk.provider.is_break_glass(name):
        desk.break_glass_used()
    desk.sign_in_limits.throttle.succeeded(name, address, device)
    desk.places.know(network, time.monotonic())
    token = await desk.sessions.open(user.name, body.client)
    session = await desk.sessions.find(token)
    if session is None:
        raise ApiError(401, "the account was disabled just now", "ask your administrator")
    if body.client == "cli":
        return me_of(desk, session).model_copy(update={"token": token})
    set_session_cookie(response, desk, session, token)
    devices = desk.sign_in_limits.devices.cookie_for(name, tokens)
    remembered = _Cookie(desk.options.device_cookie, request.url.path, _DEVICE_S)
    _set_cookie(response, desk, session, remembered, devices)
    return me_of(desk, session)


@dataclass(frozen=True, slots=True)
class _Cookie:
    """A cookie without its value; `max_age` is in seconds, or None until the browser is closed."""

    name: str
    path: str = "/"
    max_age: int | None = None


def set_session_cookie(
    response: Response, desk: Desk, session: Session, token: str, max_age: int | None = None
) -> None:
    """Let the browser keep a session's token for `max_age` seconds, or until it is closed."""
    name = embedding.COOKIE if session.kind == "embedded" else desk.options.cookie
    _set_cookie(response, desk, session, _Cookie(name, max_age=max_age), token)


def _set_cookie(
    response: Response, desk: Desk, session: Session, cookie: _Cookie, value: str
) -> None:
    """Set a cookie that the browser sends only with requests of the page itself.

    For an embedded page, the browser sends it in frames of the same site too.
    """
    if session.kind == "embedded":
        field = embedding.set_cookie(cookie.name, value, path=cookie.path, max_age=cookie.max_age)
        response.headers.append("Set-Cookie", field)
        return
    response.set_cookie(
        cookie.name,
        value,
        max_age=cookie.max_age,
        path=cookie.path,
        secure=desk.options.secure,
        httponly=True,
        samesite="strict",
    )


@router.post("/logout", status_code=204, responses={200: {"model": ProviderAddress}})
async def logout(
    desk: TheDesk, session: Annotated[Session | None, Depends(session_of)]
) -> Response:
    """Sign the user out: immediately end the session and its event streams.

    If the user has signed in at a provider that offers a sign-out too, the response has the address
    of the provider's page to which the browser must go.
    """
    response = Response(status_code=204)
    if session is not None:
        if session.provider and desk.provider is not None:
            url = desk.provider.flow.sign_out_address()
            response = JSONResponse({"url": url}) if url else response
        await desk.sessions.close(session)
        await desk.audit.append("sign-out", {}, {"user": session.user.name})
        desk.hub.wake()
        set_session_cookie(response, desk, session, "", max_age=0)
    return response


@router.put("/me/password", status_code=204)
async def change_password(
    body: ChangePassword, request: Request, desk: TheDesk, session: Person
) -> None:
    """Replace the password of the signed-in person, and end the person's other sessions.

    The present password is asked for, under the same limits as at a sign-in.

    Raises:
        ApiError: 403, the present password is wrong. 409, the person signs in at a provider. 422,
            the new password is easy to guess. 429, too many attempts have failed.
    """
    name = session.user.name
    if not _changes_password(desk, session):
        raise ApiError(
            409, "you sign in with your work account", "change the password of that account"
        )
    address = request.client.host if request.client else ""
    device = desk.sign_in_limits.devices.device_of(
        name, request.cookies.get(desk.options.device_cookie, "")
    )
    _refuse_if_throttled(desk, name, address, device)
    desk.sign_in_limits.throttle.failed(name, address, device)
    async with desk.users.sign_ins.turn(network_of(address), known=True):
        user = await desk.users.check(name, body.current.get_secret_value())
    if user is None:
        await desk.audit.append(
            "user.password-change-refused", {}, {"user": name, "address": address}
        )
        raise ApiError(403, "the present password is wrong", "check the capital letters")
    desk.sign_in_limits.throttle.succeeded(name, address, device)
    try:
        await desk.users.change_own_password(name, body.new.get_secret_value(), session.key)
    except UserError as error:
        raise ApiError(
            422,
            str(error),
            f"`new` needs at least {LEAST_LENGTH} characters, not your name, and not common words",
        ) from None
    desk.sessions.recheck()
    desk.hub.wake()
    await desk.audit.append("user.password-set", {}, {"user": name, "actor": session.actor})


def _refuse_if_throttled(desk: Desk, name: str, address: str, device: str) -> None:
    wait = desk.sign_in_limits.throttle.wait(name, address, device)
    if wait:
        desk.metrics.sign_ins.labels("throttled").inc()
        raise ApiError(429, "too many failed sign-ins", f"wait {wait} s, then try again", wait)


def _takes_password(desk: Desk, name: str) -> bool:
    return desk.provider is None or desk.provider.takes_password_of(name)


def _changes_password(desk: Desk, session: Session) -> bool:
    person = session.kind != "machine" and not session.provider
    return person and _takes_password(desk, session.user.name)


@router.get("/me")
async def me(desk: TheDesk, session: SignedIn) -> Me:
    """Return the signed-in user. The request also counts as a use of the session."""
    return me_of(desk, session)


def me_of(desk: Desk, session: Session) -> Me:
    """Return the response body with the session's user and the session's limits."""
    user = session.user
    return Me(
        user=user.name,
        role=user.role,
        language=user.language,
        extension=user.extension,
        idle=None if session.kind == "machine" else desk.sessions.idle,
        until=session.until,
        csrf=embedding.csrf_token(session),
        changes_password=_changes_password(desk, session),
    )
