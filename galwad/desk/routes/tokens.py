"""Endpoints for tokens: administrators manage those of machines, and people their own.

The secret of a token is only in the answer to the request that makes it.
"""

from __future__ import annotations

from fastapi import APIRouter

from galwad.desk.auth.sessions import Session
from galwad.desk.auth.tokens import Token
from galwad.desk.auth.users import UserError
from galwad.desk.errors import ApiError
from galwad.desk.models.tokens import (
    MadeToken,
    NewMachineToken,
    NewOwnToken,
    OwnTokens,
    TokenFacts,
)
from galwad.desk.routes.access import Administrator, Person, TheDesk
from galwad.desk.routes.step_up import SteppedUpAdministrator
from galwad.desk.service import Desk

router = APIRouter()


@router.get("/tokens")
async def tokens(desk: TheDesk, _: Administrator) -> list[TokenFacts]:
    """Return the tokens of all users, without their secrets."""
    return [_facts(token) for token in await desk.sessions.tokens.all()]


@router.post("/tokens", status_code=201)
async def make_machine_token(
    body: NewMachineToken, desk: TheDesk, session: SteppedUpAdministrator
) -> MadeToken:
    """Make a further token for a machine. The other tokens of the machine stay valid.

    Raises:
        ApiError: 404, no machine has this name. 409, the token cannot be made: the error says why.
    """
    user = await desk.users.get(body.user)
    if user is None or user.role != "machine":
        raise ApiError(404, "there is no machine with this name", "see `galwad users list`")
    scopes = None if body.rights is None else frozenset(body.rights)
    try:
        secret, token = await desk.sessions.tokens.make(
            user, session.actor, body.name, scopes, body.days
        )
    except UserError as error:
        raise ApiError(409, str(error), error.hint) from None
    return await _made(desk, session, secret, token)


@router.delete("/tokens/{token_id}", status_code=204)
async def revoke(token_id: str, desk: TheDesk, session: SteppedUpAdministrator) -> None:
    """Revoke a token of any user. It is refused from now on, and its streams end.

    Raises:
        ApiError: 404, there is no such token.
    """
    await _revoke(desk, session, token_id, await desk.sessions.tokens.all())


@router.get("/me/tokens")
async def own_tokens(desk: TheDesk, session: Person) -> OwnTokens:
    """Return the personal tokens of the signed-in person, without their secrets."""
    found = await desk.sessions.tokens.all(session.user.name)
    return OwnTokens(
        allowed=desk.settings.desk.personal_tokens, tokens=[_facts(token) for token in found]
    )


@router.post("/me/tokens", status_code=201)
async def make_own_token(body: NewOwnToken, desk: TheDesk, session: Person) -> MadeToken:
    """Make a token that can only pause and resume the calls of the signed-in person.

    Raises:
        ApiError: 403, personal tokens are switched off. 409, the token cannot be made: the error
            says why.
    """
    if not desk.settings.desk.personal_tokens:
        raise ApiError(
            403, "personal tokens are switched off", "ask the administrator: [desk] personal_tokens"
        )
    try:
        secret, token = await desk.sessions.tokens.make(
            session.user, session.actor, body.name, days=body.days
        )
    except UserError as error:
        raise ApiError(409, str(error), error.hint) from None
    return await _made(desk, session, secret, token)


@router.delete("/me/tokens/{token_id}", status_code=204)
async def revoke_own(token_id: str, desk: TheDesk, session: Person) -> None:
    """Revoke a personal token of the signed-in person.

    Raises:
        ApiError: 404, the user has no such token.
    """
    await _revoke(desk, session, token_id, await desk.sessions.tokens.all(session.user.name))


async def _made(desk: Desk, session: Session, secret: str, token: Token) -> MadeToken:
    await desk.audit.append("token.made", *token.audited(session.actor))
    return MadeToken(secret=secret, token=_facts(token))


def _facts(token: Token) -> TokenFacts:
    return TokenFacts(
        id=token.token_id,
        user=token.user,
        name=token.name,
        rights=None if token.scopes is None else sorted(token.scopes),
        created=token.created,
        created_by=token.created_by,
        expires=token.expires,
        last_used=token.used,
        address=token.address,
    )


async def _revoke(desk: Desk, session: Session, token_id: str, among: list[Token]) -> None:
    for token in among:
        if token.token_id == token_id:
            await desk.sessions.end(token.key)
            await desk.audit.append("token.revoked", *token.audited(session.actor))
            desk.hub.wake()
            return
    raise ApiError(404, "there is no such token", "it may be revoked already")
