"""Endpoints of users and tokens, with the bodies of their requests and answers.

Administrators manage users and the tokens of machines, as `galwad users` does on the server. People
manage their own tokens. A new secret is only in the answer to the request that makes it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from galwad.host.bodies import (
    DataclassBody,
    Language,
    RequestBody,
    RequiredText,
    ShortText,
    field_names,
)
from galwad.host.errors import ApiError
from galwad.people.access import Administrator, Person, SteppedUpAdministrator, require_step_up
from galwad.people.rules import ChangeResult, PageRules, UserAdministration
from galwad.people.sessions import Session
from galwad.people.subject import PeopleDesk, TheDesk
from galwad.people.tokens import MAX_DAYS, TokenFacts
from galwad.people.user import (
    DEFAULT_DAYS,
    Role,
    UnknownUserError,
    User,
    UserChange,
    UserError,
    UserFacts,
    rights_of,
)
from galwad.settings.desk import PersonRole

router = APIRouter(tags=["users"])
_TOKENS: Final[list[str | Enum]] = ["tokens"]
Version: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""The version of a user (see `UserFacts`)."""
Days: TypeAlias = Annotated[int, Field(ge=1, le=MAX_DAYS)]
"""The number of days after which a new token expires."""


class UserList(BaseModel):
    """All users, by name.

    `rights` are the rights that a user of each role can have. `issuer` is the OpenID provider in
    the settings, or null.
    """

    users: list[UserFacts]
    rights: dict[Role, list[str]]
    issuer: str | None


class SipAccount(BaseModel):
    """The values with which a phone registers."""

    server: str
    extension: str
    password: str
    realm: str


class ChangedUser(BaseModel):
    """The user after a change, and the new secrets, which are not available again later.

    `password` is a person's password, `token` is a machine's token, `sip` is the account of a
    phone. Each is null if the change has made none.
    """

    user: UserFacts
    password: str | None = None
    token: str | None = None
    sip: SipAccount | None = None


class UserVersion(RequestBody):
    """A request that removes a user, with the version of the user on which it is based."""

    version: Version


class NewUser(RequestBody):
    """A request for a new user.

    A person gets a password, a machine a token. With an `extension`, a SIP password is made too.
    """

    name: RequiredText
    role: Role = "advisor"
    language: Language = "en"
    extension: ShortText = ""
    rights: list[RequiredText] = Field(default_factory=list, max_length=20)


@dataclass(frozen=True, kw_only=True)
class ChangeOfUser(DataclassBody, UserChange):
    """Changes of a user. Either all take place or none. A field that is null changes nothing.

    `version` is the version of the user on which the changes are based. With another `role`, the
    person loses all rights, unless `rights` gives some. `rights` replaces all rights. `team` is ""
    for none. `extension` also makes a new SIP password; "" takes the extension away. "new" makes a
    `password` or a `sip_password`. `disabled` stops the user from signing in, or permits it again.
    False removes the `second_factor`. `link` and `unlink` are the subject of an account of the
    OpenID provider.
    """

    version: Version
    role: PersonRole | None = None


class NewOwnToken(RequestBody):
    """A request of a person for a token that pauses and resumes this person's own calls."""

    name: RequiredText
    days: Days = DEFAULT_DAYS


class NewMachineToken(RequestBody):
    """A request of an administrator for a further token of a machine.

    `rights` are the rights of the machine that the token can use; None means all of them.
    """

    user: RequiredText
    name: RequiredText
    rights: list[RequiredText] | None = Field(default=None, max_length=20)
    days: Days = DEFAULT_DAYS


class OwnTokens(BaseModel):
    """The personal tokens of the person. `allowed` is false if the settings switch them off."""

    allowed: bool
    tokens: list[TokenFacts]


class MadeToken(BaseModel):
    """The response with a new token. `secret` is not available again later."""

    secret: str
    token: TokenFacts


async def changing(request: Request, desk: TheDesk, session: Administrator) -> Session:
    """Return the session of an administrator who changes a user.

    This reads the body itself, before FastAPI checks it: otherwise a stolen session could learn
    from the errors about the body.

    Raises:
        ApiError: 403, a stronger sign-in at the provider is needed first, unless only the team
            changes.
    """
    try:
        body = await request.json()
    except ValueError:
        body = {}
    names = set(body) if isinstance(body, dict) else set()
    if "team" not in names or not names <= {"version", "team"}:
        changes = ",".join(sorted(names & field_names(ChangeOfUser) - {"version"}))
        require_step_up(desk, session, {"changes": changes} if changes else {})
    return session


@router.get("/users")
async def users(desk: TheDesk, _: Administrator) -> UserList:
    """Return all users, without secrets."""
    section = desk.host.settings.sign_in
    return UserList(
        users=await _facts(desk),
        rights=rights_of(),
        issuer=section.issuer if section is not None else None,
    )


@router.post("/users", status_code=201)
async def add_user(body: NewUser, desk: TheDesk, session: SteppedUpAdministrator) -> ChangedUser:
    """Add a user. The answer has the new user's password or token, and the account of the phone.

    Raises:
        ApiError: 409, the user cannot be added: `reason` says why. 404, the user was
            removed meanwhile.
    """
    user = User(
        body.name.lower(), body.role, body.language, body.extension or None, frozenset(body.rights)
    )
    with _refusals():
        done = await _administration(desk, session).add(user)
    return await _changed(desk, done)


@router.patch("/users/{name}")
async def change_user(
    name: str, body: ChangeOfUser, desk: TheDesk, session: Annotated[Session, Depends(changing)]
) -> ChangedUser:
    """Change a user. All changes of the request take place, or none.

    The user's sessions and tokens end if the role or the password changes, if an account of the
    provider is linked or unlinked, or if the user is disabled. The loss of the second factor ends
    the sessions that a password has opened. A machine that is enabled gets a new token.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    section = desk.host.settings.sign_in
    issuer = section.issuer if section is not None else ""
    with _refusals():
        done = await _administration(desk, session, body.version).change(name, body, issuer=issuer)
    return await _changed(desk, done)


@router.delete("/users/{name}", status_code=204)
async def remove_user(
    name: str, body: UserVersion, desk: TheDesk, session: SteppedUpAdministrator
) -> None:
    """Remove a user, and end the user's sessions. The name and the extension are free again.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        await _administration(desk, session, body.version).remove(name)
    await desk.people.changed()


@router.get("/tokens", tags=_TOKENS)
async def tokens(desk: TheDesk, _: Administrator) -> list[TokenFacts]:
    """Return the tokens of all users, without their secrets."""
    return await desk.people.sessions.tokens.all()


@router.post("/tokens", status_code=201, tags=_TOKENS)
async def make_machine_token(
    body: NewMachineToken, desk: TheDesk, session: SteppedUpAdministrator
) -> MadeToken:
    """Make a further token for a machine. The other tokens of the machine stay valid.

    Raises:
        ApiError: 404, no machine has this name. 409, the token cannot be made: the error says why.
    """
    user = await desk.people.users.get(body.user)
    if user is None or user.role != "machine":
        raise ApiError(404, "there is no machine with this name", "see `galwad users list`")
    scopes = None if body.rights is None else frozenset(body.rights)
    with _refusals():
        made = await _administration(desk, session).make_token(user, body.name, scopes, body.days)
    return MadeToken(secret=made[0], token=made[1])


@router.delete("/tokens/{token_id}", status_code=204, tags=_TOKENS)
async def revoke(token_id: str, desk: TheDesk, session: SteppedUpAdministrator) -> None:
    """Revoke a token of any user. The token is refused from now on, and its streams end.

    Raises:
        ApiError: 404, there is no such token.
    """
    await _revoke(desk, session, token_id, await desk.people.sessions.tokens.all())


@router.get("/me/tokens", tags=_TOKENS)
async def own_tokens(desk: TheDesk, session: Person) -> OwnTokens:
    """Return the personal tokens of the signed-in person, without their secrets."""
    found = await desk.people.sessions.tokens.all(session.user.name)
    return OwnTokens(allowed=desk.host.settings.desk.personal_tokens, tokens=found)


@router.post("/me/tokens", status_code=201, tags=_TOKENS)
async def make_own_token(body: NewOwnToken, desk: TheDesk, session: Person) -> MadeToken:
    """Make a token that can only pause and resume the calls of the signed-in person.

    Raises:
        ApiError: 403, personal tokens are switched off. 409, the token cannot be made: the error
            says why.
    """
    if not desk.host.settings.desk.personal_tokens:
        raise ApiError(
            403,
            "personal tokens are switched off",
            "ask an administrator to set [desk] personal_tokens = true",
        )
    own = _administration(desk, session)
    with _refusals():
        secret, token = await own.make_token(session.user, body.name, days=body.days)
    return MadeToken(secret=secret, token=token)


@router.delete("/me/tokens/{token_id}", status_code=204, tags=_TOKENS)
async def revoke_own(token_id: str, desk: TheDesk, session: Person) -> None:
    """Revoke a personal token of the signed-in person.

    Raises:
        ApiError: 404, the user has no such token.
    """
    await _revoke(desk, session, token_id, await desk.people.sessions.tokens.all(session.user.name))


def _administration(desk: PeopleDesk, session: Session, version: str = "") -> UserAdministration:
    """Return the acts on users, with the session's user as the actor.

    `version` is the version of the changed user that the page showed.
    """
    return UserAdministration(
        *(desk.host.engine, desk.host.audit, session.actor, desk.host.settings.sip.realm),
        users=desk.people.users,
        rules=PageRules(session.user, version),
    )


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        status = 404 if isinstance(error, UnknownUserError) else 409
        raise ApiError(status, str(error), error.hint, reason=error.reason) from None


async def _changed(desk: PeopleDesk, done: ChangeResult) -> ChangedUser:
    """Let the change of a user take effect, and return the user with the new secrets."""
    await desk.people.changed()
    found = [each for each in await _facts(desk) if each.name == done.user.name]
    if not found:
        raise ApiError(404, "the user was removed meanwhile", "list the users again")
    account = None
    if done.sip_password is not None and found[0].extension is not None:
        account = SipAccount(
            server=desk.host.settings.phone_server,
            extension=found[0].extension,
            password=done.sip_password,
            realm=desk.host.settings.sip.realm,
        )
    return ChangedUser(user=found[0], password=done.password, token=done.token, sip=account)


async def _facts(desk: PeopleDesk) -> list[UserFacts]:
    """Return all users with the lines that they serve."""
    now = time.time()
    found = await desk.people.users.facts(
        now - desk.people.sessions.absolute, now - desk.people.sessions.idle
    )
    return [replace(each, lines=_lines(desk, each)) for each in found]


def _lines(desk: PeopleDesk, user: User) -> list[str]:
    return [
        route.line
        for route in desk.host.settings.routes
        if route.line and (user.extension in (route.ring or ()) or user.name in route.advisors)
    ]


async def _revoke(
    desk: PeopleDesk, session: Session, token_id: str, among: list[TokenFacts]
) -> None:
    for token in among:
        if token.id == token_id:
            await _administration(desk, session).revoke_token(token, desk.people.sessions.end)
            desk.host.streams.wake()
            return
    raise ApiError(404, "there is no such token", "it may be revoked already")
