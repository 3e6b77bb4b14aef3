"""Endpoints to sign in with the account of an OpenID provider.

The page asks for the provider's address and goes there. The provider sends the browser back to the
callback. This request comes from another site, so the browser sends no SameSite=Strict cookie with
it. So the cookie of a sign-in is Lax. The callback sets the session's cookie, which is Strict, and
redirects the browser to the page, never to another address. The provider's code is in no log.

A signed-in person goes the same way for a step-up: to prove a stronger sign-in before a sensitive
act (see `galwad.people.access`). The callback then opens no session. It does not get the session's
cookie either, so the sealed cookie of the sign-in has the session's key. Only a request of this
session gets such a cookie.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from galwad.host.bodies import Language, RequestBody
from galwad.host.errors import ApiError
from galwad.people.access import session_of
from galwad.people.identities import IdentifiedUser
from galwad.people.oidc.errors import OidcError, ProviderError, TokenError
from galwad.people.oidc.pending import LIFETIME_S, PendingSignIn
from galwad.people.oidc.provider_accounts import ProviderAccounts, RefusedError
from galwad.people.oidc.provider_sign_in import CALLBACK
from galwad.people.sessions import Session
from galwad.people.sign_in.bodies import ProviderAddress
from galwad.people.sign_in.routes import set_session_cookie
from galwad.people.subject import PeopleDesk, TheDesk
from net.addresses import network_of
from recording.errors import AuditError

log = structlog.get_logger()


class SignInOptions(BaseModel):
    """The ways to sign in. `passwords` says who may sign in with a password of Galwad."""

    provider: bool
    passwords: Literal["everyone", "few"]


class BeginSignIn(RequestBody):
    """A request to begin a sign-in at the provider. `language` is that of the provider's page.

    If `step_up` is true, the signed-in person proves a stronger sign-in, and comes back to the part
    `place` of the page.
    """

    language: Language = "en"
    step_up: bool = False
    place: Literal["", "admin", "recordings", "retention", "holds", "cases", "command-line"] = ""


router = APIRouter(tags=["sign_in"])
_PATH: Final = CALLBACK.removeprefix("/api/v1")


@router.get("/sign-in")
async def options(desk: TheDesk) -> SignInOptions:
    """Return the ways to sign in."""
    section = desk.host.settings.sign_in
    few = section is not None and section.password_users is not None
    return SignInOptions(provider=section is not None, passwords="few" if few else "everyone")


@router.post("/sign-in/begin")
async def begin(
    body: BeginSignIn,
    request: Request,
    response: Response,
    desk: TheDesk,
    session: Annotated[Session | None, Depends(session_of)],
) -> ProviderAddress:
    """Begin a sign-in: return the provider's address, and bind the sign-in to the browser.

    With `step_up`, the person of the page's session proves a stronger sign-in.

    Raises:
        ApiError: 404, there is no provider to sign in with. 401, `step_up` is true, and the person
            is not signed in. 409, `step_up` is true, and this session or the settings have no
            stronger sign-in. 503, the provider cannot be reached.
    """
    provider = _provider(desk)
    key = _stepping(desk, session) if body.step_up else ""
    cookie = request.cookies.get(desk.host.settings.desk.sign_in_cookie, "")
    try:
        url, cookie = await provider.flow.begin(
            cookie, body.language, session=key, place=body.place if key else ""
        )
    except ProviderError as error:
        log.warning("sign_in.provider_failed", detail=str(error))
        raise ApiError(
            503, "the provider of the sign-in cannot be reached", "try again in a minute"
        ) from None
    response.set_cookie(
        desk.host.settings.desk.sign_in_cookie,
        cookie,
        max_age=int(LIFETIME_S),
        path="/",
        secure=desk.host.settings.desk.secure,
        httponly=True,
        samesite="lax",
    )
    return ProviderAddress(url=url)


@router.get(_PATH, status_code=303, response_class=RedirectResponse)
async def callback(request: Request, desk: TheDesk) -> Response:
    """Complete a sign-in or a step-up with the provider's response, and redirect to the page.

    If the person is not signed in, the address of the page has the reason as its fragment. After a
    step-up, the fragment has the outcome, and the part of the page where the step-up was begun.

    Raises:
        ApiError: 404, there is no provider to sign in with.
    """
    provider = _provider(desk)
    visitor = _visitor(request)
    cookie = request.cookies.get(desk.host.settings.desk.sign_in_cookie, "")
    reason, opened, pending = "", None, None
    try:
        pending = provider.flow.take(cookie, visitor.response)
        if pending.session:
            await _step_up(provider, desk, pending, visitor)
        else:
            opened = await _open(desk, await _enter(provider, desk, pending, visitor))
    except OidcError as error:
        reason = error.reason
    except RefusedError as refusal:
        reason = refusal.reason
    except AuditError:
        log.exception("storage.failed")
        reason = "server"
    if pending is not None and pending.session:
        desk.people.metrics.sign_ins.labels("step_up_refused" if reason else "stepped_up").inc()
        place = f",{pending.place}" if pending.place else ""
        return RedirectResponse(f"/#step-up={reason or 'done'}{place}", 303)
    desk.people.metrics.sign_ins.labels("refused" if reason else "accepted").inc()
    response = RedirectResponse(f"/#sign-in={reason}" if reason else "/", 303)
    if opened is not None:
        set_session_cookie(response, desk, *opened)
    return response


@dataclass(frozen=True, slots=True)
class _Visitor:
    """A browser that the provider has sent back with the parameters `response`."""

    address: str
    network: str
    language: str
    response: dict[str, str]


def _visitor(request: Request) -> _Visitor:
    address = request.client.host if request.client else ""
    given = request.query_params
    response = dict(given) if len(given.multi_items()) == len(given) else {}
    return _Visitor(address, network_of(address), _language(request), response)


def _stepping(desk: PeopleDesk, session: Session | None) -> str:
    """Return the key of the session that is stepped up.

    Raises:
        ApiError: 401, the person is not signed in. 409, the session is not one of the page, the
            person has not signed in at the provider, or the settings name no stronger sign-in.
    """
    if session is None:
        raise ApiError(401, "you are not signed in", "sign in again")
    section = desk.host.settings.sign_in
    if section is None or section.step_up is None:
        raise ApiError(409, "no stronger sign-in is needed", "go on without it")
    if session.kind != "page" or not session.provider:
        raise ApiError(
            409,
            "this session cannot prove a stronger sign-in",
            "sign in on the page with your work account first",
        )
    return session.key


async def _enter(
    provider: ProviderAccounts, desk: PeopleDesk, pending: PendingSignIn, visitor: _Visitor
) -> str:
    """Return the name of the user whom the provider has signed in; audit the sign-in.

    Raises `OidcError`, `RefusedError` (the person may not use Galwad) or `AuditError`.
    """
    facts = {"client": "page", "method": "provider"}
    async with _audited_refusal(desk, "sign-in.refused", facts, visitor.address):
        token = await provider.flow.complete(pending, visitor.response, visitor.network)
        found = await provider.enter(token, visitor.language)
    name = found.user.name
    await _audit_changes(desk, found)
    personal = {"user": name, "address": visitor.address}
    await desk.host.audit.append("sign-in.accepted", facts, personal)
    desk.host.places.know(visitor.network, time.monotonic())
    return name


async def _step_up(
    provider: ProviderAccounts, desk: PeopleDesk, pending: PendingSignIn, visitor: _Visitor
) -> None:
    """Store and audit that the session's person has proven a stronger sign-in. Audit a refusal.

    Raises `OidcError` if the proof fails, `RefusedError` if the session has ended or the person is
    refused, and `AuditError`.
    """
    found = await desk.people.sessions.with_key(pending.session)
    user = "" if found is None else found.user.name
    facts, personal = {"method": "provider"}, {"user": user, "address": visitor.address}
    async with _audited_refusal(desk, "sign-in.step-up-refused", facts, visitor.address, user):
        session = _in_force(found)
        token = await provider.flow.complete(pending, visitor.response, visitor.network)
        await _audit_changes(desk, await provider.enter_again(token, user, visitor.language))
        await desk.host.audit.append("sign-in.stepped-up", facts, personal)
        _in_force(await desk.people.sessions.step_up(session))


@asynccontextmanager
async def _audited_refusal(
    desk: PeopleDesk, kind: str, facts: Mapping[str, str], address: str, user: str = ""
) -> AsyncIterator[None]:
    """Audit or log the errors of a sign-in that the block raises, and raise them again.

    The audit entry has this `kind`. It has `user`, or else the user whom a `RefusedError` names.
    """
    try:
        yield
    except (TokenError, ProviderError) as error:
        log.warning("sign_in.provider_failed", detail=str(error))
        if isinstance(error, TokenError):
            personal = {"user": user, "address": address}
            await desk.host.audit.append(kind, {**facts, "reason": error.reason}, personal)
        raise
    except RefusedError as refusal:
        desk.people.sessions.recheck()
        desk.host.streams.wake()
        personal = {"user": user or refusal.user, "address": address}
        await desk.host.audit.append(kind, {**facts, "reason": refusal.reason}, personal)
        raise


def _in_force(session: Session | None) -> Session:
    if session is None:
        raise RefusedError("ended")
    return session


async def _open(desk: PeopleDesk, user: str) -> tuple[Session, str]:
    token = await desk.people.sessions.open(user, "page", provider=True)
    session = await desk.people.sessions.find(token)
    if session is None:
        raise RefusedError("disabled", user)
    return session, token


async def _audit_changes(desk: PeopleDesk, found: IdentifiedUser) -> None:
    personal = {"user": found.user.name, "actor": "provider"}
    if found.created:
        await desk.host.audit.append(
            "user.added", {"role": found.user.role, "rights": ""}, personal
        )
    elif found.role_before:
        facts = {"role": found.user.role, "before": found.role_before}
        await desk.host.audit.append("user.role-set", facts, personal)
        desk.people.sessions.recheck()
        desk.host.streams.wake()


def _provider(desk: PeopleDesk) -> ProviderAccounts:
    if desk.people.provider is None:
        raise ApiError(404, "there is no provider to sign in with", "sign in with a password")
    return desk.people.provider


def _language(request: Request) -> str:
    return "cy" if request.headers.get("accept-language", "").lower().startswith("cy") else "en"
