"""Endpoints to sign in, to sign out, and to get the facts about the signed-in user."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from galwad.host import embedding
from galwad.host.errors import ApiError
from galwad.messages import Alarm
from galwad.people.access import Entering, Person, leaving
from galwad.people.proofs import (
    Visitor,
    check_code,
    check_password,
    code_refusal,
    has_password,
    prove,
    takes_password,
)
from galwad.people.sessions import Session
from galwad.people.sign_in.bodies import ChangePassword, Login, Me, ProviderAddress
from galwad.people.subject import PeopleDesk, TheDesk
from galwad.people.user import LEAST_LENGTH, User, UserError

router = APIRouter(tags=["accounts"])
_DEVICE_S = 180 * 86_400


@router.post("/login")
async def login(body: Login, request: Request, response: Response, desk: TheDesk) -> Me:
    """Sign a user in by name and password, and by a code if the user has a second factor.

    If the user's role needs a second factor and the user has none, the session can only set it up.
    The client "cli" gets no session in this case.
    After many failed sign-ins from one network or browser, its next password is checked some
    seconds later. If too many sign-ins wait, the answer is 429, and the password was not checked:
    send it again after `Retry-After`.

    Raises:
        ApiError: 401, the name or the password is wrong, or the account was disabled just now. 401,
            the password is right, and a code is missing or wrong: `reason` says so. 403, no other
            site may show the page. 403, the user must set up a second factor on the page first.
            429, too many sign-ins wait, or too many codes were wrong.
    """
    if body.client == "embedded" and not desk.host.settings.desk.embed_origins:
        raise ApiError(403, "no other site may show the page", "sign in on the desk's own page")
    visitor = Visitor.of(request, desk, body.user.lower())
    user = await _check_password(desk, visitor, body)
    second_factor = await _check_second_factor(desk, visitor, body)
    needs_one = not second_factor and user.role in desk.host.settings.desk.second_factor_roles
    if needs_one and body.client == "cli":
        desk.people.sign_in_limits.throttle.uncounted(*visitor.keys)
        await _audit(desk, visitor, "sign-in.refused", client="cli", reason="no_second_factor")
        raise ApiError(
            403,
            "you must set up a second factor first",
            "sign in on the page and set it up there",
            reason="second_factor_needed",
        )
    desk.people.metrics.sign_ins.labels("accepted").inc()
    await _audit(desk, visitor, "sign-in.accepted", client=body.client, **second_factor)
    if desk.people.provider is not None and desk.people.provider.is_break_glass(user.name):
        desk.host.alarm(Alarm("sign_in.break_glass"))
    desk.people.sign_in_limits.throttle.succeeded(*visitor.keys)
    desk.host.places.know(visitor.network, time.monotonic())
    token = await desk.people.sessions.open(user.name, body.client, needs_second_factor=needs_one)
    session = await desk.people.sessions.find(token)
    if session is None:
        raise ApiError(401, "the account was disabled just now", "ask your administrator")
    if body.client == "cli":
        return me_of(desk, session).model_copy(update={"token": token})
    set_session_cookie(response, desk, session, token)
    tokens = request.cookies.get(desk.host.settings.desk.device_cookie, "")
    devices = desk.people.sign_in_limits.devices.cookie_for(user.name, tokens)
    remembered = _Cookie(desk.host.settings.desk.device_cookie, request.url.path, _DEVICE_S)
    _set_cookie(response, desk, session, remembered, devices)
    return me_of(desk, session)


async def _check_password(desk: PeopleDesk, visitor: Visitor, body: Login) -> User:
    """Return the user whose password the request has. The sign-in still counts as failed.

    Raises `ApiError` (401) for a wrong name or password, or (429) if too many sign-ins wait.
    """
    user = await check_password(desk, visitor, body.password)
    if not takes_password(desk, visitor.name):
        user = None  # only after the check, so that the time does not show who has a password
    if user is None:
        desk.people.metrics.sign_ins.labels("refused").inc()
        desk.people.wrong_password(visitor.name, visitor.network)
        await _audit(desk, visitor, "sign-in.refused", client=body.client)
        raise ApiError(401, "the name or the password is wrong", "check the capital letters")
    return user


async def _check_second_factor(desk: PeopleDesk, visitor: Visitor, body: Login) -> dict[str, str]:
    """Check the code of a user who has a second factor and whose password was right.

    Return the fact for the audit; {} if the user has no second factor. Raises `ApiError` (401) for
    a missing or wrong code, or (429) after too many wrong codes.
    """
    if await desk.people.second_factors.status(visitor.name) is None:
        return {}
    if not body.code.get_secret_value().strip():
        desk.people.sign_in_limits.throttle.uncounted(*visitor.keys)
        desk.people.metrics.sign_ins.labels("code_asked").inc()
        await _audit(desk, visitor, "sign-in.code-asked", client=body.client)
        raise ApiError(
            401,
            "a code is needed too",
            "send the code of your authenticator app, or a recovery code",
            reason="code_needed",
        )
    verdict = await check_code(desk, visitor, body.code)
    if not verdict.right:
        desk.people.metrics.sign_ins.labels("refused").inc()
        await _audit(desk, visitor, "sign-in.refused", client=body.client, reason="code")
        raise code_refusal(verdict, 401)
    return {"second_factor": verdict.value}


async def _audit(desk: PeopleDesk, visitor: Visitor, kind: str, **facts: str) -> None:
    """Audit a sign-in. An unknown name is left out: it may be a password in the wrong field."""
    named = await desk.people.users.get(visitor.name)
    personal = {"user": named.name if named else "", "address": visitor.address}
    await desk.host.audit.append(kind, facts, personal)


@dataclass(frozen=True, slots=True)
class _Cookie:
    """A cookie without its value. `max_age` is in seconds; None keeps it until the browser ends."""

    name: str
    path: str = "/"
    max_age: int | None = None


def set_session_cookie(
    response: Response, desk: PeopleDesk, session: Session, token: str, max_age: int | None = None
) -> None:
    """Set the cookie with a session's token for `max_age` seconds, or until the browser closes."""
    name = embedding.COOKIE if session.kind == "embedded" else desk.host.settings.desk.cookie
    _set_cookie(response, desk, session, _Cookie(name, max_age=max_age), token)


def _set_cookie(
    response: Response, desk: PeopleDesk, session: Session, cookie: _Cookie, value: str
) -> None:
    """Set a cookie that the browser sends only with requests of the page itself.

    For an embedded page, the site around the frame can make the browser send it too.
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
        secure=desk.host.settings.desk.secure,
        httponly=True,
        samesite="strict",
    )


@router.post("/logout", status_code=204, responses={200: {"model": ProviderAddress}})
async def logout(desk: TheDesk, session: Annotated[Session | None, Depends(leaving)]) -> Response:
    """Sign the user out: immediately end the session and its event streams.

    If the user has signed in at a provider that offers a sign-out too, the response has the address
    of the provider's page to which the browser must go. The response to a panel has none.
    """
    response = Response(status_code=204)
    if session is not None:
        leads_away = session.provider and session.kind != "embedded"
        if leads_away and desk.people.provider is not None:
            url = desk.people.provider.flow.sign_out_address()
            response = JSONResponse({"url": url}) if url else response
        await desk.people.sessions.end(session.key)
        await desk.host.audit.append("sign-out", {}, {"user": session.user.name})
        desk.host.streams.wake()
        set_session_cookie(response, desk, session, "", max_age=0)
    return response


@router.put("/me/password", status_code=204)
async def change_password(
    body: ChangePassword, request: Request, desk: TheDesk, session: Person
) -> None:
    """Replace the password of the signed-in person, and end the person's other sessions.

    The present password is needed. After ten wrong passwords, one is checked every five seconds.

    Raises:
        ApiError: 403, the present password is wrong. 409, the person signs in at a provider. 422,
            the new password is easy to guess. 429, too many sign-ins wait.
    """
    name = session.user.name
    if not has_password(desk, session):
        raise ApiError(
            409, "you sign in with your work account", "change the password of that account"
        )
    visitor = Visitor.signed_in(request, session)
    await prove(desk, visitor, body.current, "user.password-change-refused")
    try:
        await desk.people.users.change_own_password(name, body.new.get_secret_value(), session.key)
    except UserError as error:
        raise ApiError(
            422,
            str(error),
            f"`new` needs at least {LEAST_LENGTH} characters, not your name, and not common words",
        ) from None
    desk.people.sessions.recheck()
    desk.host.streams.wake()
    await desk.host.audit.append("user.password-set", {}, {"user": name, "actor": session.actor})


@router.get("/me")
async def me(desk: TheDesk, session: Entering) -> Me:
    """Return the signed-in user. The request also counts as a use of the session."""
    return me_of(desk, session)


def me_of(desk: PeopleDesk, session: Session) -> Me:
    """Return the response body with the session's user and the session's limits."""
    user = session.user
    return Me(
        user=user.name,
        role=user.role,
        language=user.language,
        extension=user.extension,
        idle=None if session.kind == "machine" else desk.people.sessions.idle,
        until=session.until,
        csrf=embedding.csrf_token(session),
        changes_password=has_password(desk, session),
        needs_second_factor=session.needs_second_factor,
    )
