"""Endpoints with which administrators manage the users, as `galwad users` does on the server.

A new secret is only in the answer to the request that makes it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator

from fastapi import APIRouter

from galwad.desk.auth.identities import ProviderIdentity
from galwad.desk.auth.passwords import new_secret
from galwad.desk.auth.sessions import Session
from galwad.desk.auth.user_administration import (
    PageRules,
    UserAccount,
    UserAccounts,
    UserAdministration,
)
from galwad.desk.auth.users import UnknownUserError, User, UserError, rights_of
from galwad.desk.errors import ApiError
from galwad.desk.models.users import (
    ChangedUser,
    LinkedSubject,
    NewExtension,
    NewRights,
    NewRole,
    NewTeam,
    NewUser,
    SipAccount,
    UserFacts,
    UserList,
    UserVersion,
)
from galwad.desk.routes.access import Administrator, TheDesk
from galwad.desk.routes.step_up import SteppedUpAdministrator
from galwad.desk.service import Desk

router = APIRouter()


@router.get("/users")
async def users(desk: TheDesk, _: Administrator) -> UserList:
    """Return all users, without secrets."""
    section = desk.settings.sign_in
    return UserList(
        users=[_facts(desk, each) for each in await _accounts(desk)],
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
        body.name.lower(),
        body.role,
        body.language,
        body.extension or None,
        frozenset(body.rights),
    )
    password = None if body.role == "machine" else new_secret()
    sip_password = new_secret() if body.extension else None
    with _refusals():
        token = await _changes(desk, session).add(user, password, sip_password)
    return await _changed(desk, user.name, password=password, token=token, sip=sip_password)


@router.delete("/users/{name}", status_code=204)
async def remove_user(
    name: str, body: UserVersion, desk: TheDesk, session: SteppedUpAdministrator
) -> None:
    """Remove a user, and end the user's sessions. The name and the extension are free again.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        await _changes(desk, session, body.version, takes_access=True).remove(name)
    await desk.users_changed()


@router.put("/users/{name}/role")
async def set_role(
    name: str, body: NewRole, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Give a person another role without any right, and end the person's sessions.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        await _changes(desk, session, body.version, takes_access=True).set_role(name, body.role)
    return await _changed(desk, name)


@router.put("/users/{name}/team")
async def set_team(name: str, body: NewTeam, desk: TheDesk, session: Administrator) -> ChangedUser:
    """Let a person belong to a team of the list `teams`, or to none.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        await _changes(desk, session, body.version).set_team(name, body.team)
    return await _changed(desk, name)


@router.put("/users/{name}/rights")
async def set_rights(
    name: str, body: NewRights, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Replace all rights of a user. The change takes effect at the user's next request.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        changes = _changes(desk, session, body.version, given=body.rights)
        await changes.set_rights(name, frozenset(body.rights))
    return await _changed(desk, name)


@router.put("/users/{name}/extension")
async def set_extension(
    name: str, body: NewExtension, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Give a user another extension with a new SIP password, or none.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    secret = new_secret()
    with _refusals():
        await _changes(desk, session, body.version).move(name, body.extension or None, secret)
    return await _changed(desk, name, sip=secret if body.extension else None)


@router.post("/users/{name}/password")
async def reset_password(
    name: str, body: UserVersion, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Give a person a new random password, and end the person's sessions.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    secret = new_secret()
    with _refusals():
        await _changes(desk, session, body.version).set_password(name, secret)
    return await _changed(desk, name, password=secret)


@router.post("/users/{name}/sip-password")
async def reset_sip_password(
    name: str, body: UserVersion, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Give a user's phone a new random SIP password. The phone's registration ends.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    secret = new_secret()
    with _refusals():
        await _changes(desk, session, body.version).set_sip_password(name, secret)
    return await _changed(desk, name, sip=secret)


@router.delete("/users/{name}/second-factor")
async def remove_second_factor(
    name: str, body: UserVersion, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Remove a person's second factor, and end the sessions that the password has opened.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        await _changes(desk, session, body.version).remove_second_factor(name)
    return await _changed(desk, name)


@router.post("/users/{name}/disable")
async def disable_user(
    name: str, body: UserVersion, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Stop a user from signing in, end the user's sessions, and the phone's registration.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        await _changes(desk, session, body.version, takes_access=True).disable(name)
    return await _changed(desk, name)


@router.post("/users/{name}/enable")
async def enable_user(
    name: str, body: UserVersion, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Let a disabled user sign in again. A machine gets a new token.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        _, token = await _changes(desk, session, body.version).enable(name)
    return await _changed(desk, name, token=token)


@router.put("/users/{name}/identity")
async def link_identity(
    name: str, body: LinkedSubject, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Link an account of the OpenID provider to a person, and end the person's sessions.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    section = desk.settings.sign_in
    if section is None:
        raise ApiError(
            409, "the settings name no provider", "add [sign_in] to the settings", reason="provider"
        )
    with _refusals():
        identity = ProviderIdentity(section.issuer, body.subject)
        await _changes(desk, session, body.version).link(name, identity)
    return await _changed(desk, name)


@router.delete("/users/{name}/identity")
async def unlink_identity(
    name: str, body: LinkedSubject, desk: TheDesk, session: SteppedUpAdministrator
) -> ChangedUser:
    """Unlink an account of the OpenID provider from a user, and end the user's sessions.

    Raises:
        ApiError: 404, there is no such user. 409, the change is refused: `reason` says why.
    """
    with _refusals():
        await _changes(desk, session, body.version).unlink(name, body.subject)
    return await _changed(desk, name)


def _changes(
    desk: Desk,
    session: Session,
    version: str = "",
    *,
    takes_access: bool = False,
    given: Collection[str] = (),
) -> UserAdministration:
    """Return the changes that this administrator may make, based on a version of a user."""
    rules = PageRules(session.user, version, takes_access, frozenset(given))
    return UserAdministration(
        *(desk.engine, desk.audit, session.actor, desk.settings.sip.realm),
        factors=desk.second_factors,
        users=desk.users,
        rules=rules,
    )


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        status = 404 if isinstance(error, UnknownUserError) else 409
        raise ApiError(status, str(error), error.hint, reason=error.reason) from None


async def _changed(
    desk: Desk,
    name: str,
    *,
    password: str | None = None,
    token: str | None = None,
    sip: str | None = None,
) -> ChangedUser:
    """Let the change of a user take effect, and return the user with the new secrets."""
    await desk.users_changed()
    found = [each for each in await _accounts(desk) if each.user.name == name]
    if not found:
        raise ApiError(404, "the user was removed meanwhile", "list the users again")
    facts = _facts(desk, found[0])
    account = None
    if sip is not None and facts.extension is not None:
        account = SipAccount(
            server=desk.settings.phone_server,
            extension=facts.extension,
            password=sip,
            realm=desk.settings.sip.realm,
        )
    return ChangedUser(user=facts, password=password, token=token, sip=account)


async def _accounts(desk: Desk) -> list[UserAccount]:
    now = time.time()
    return await UserAccounts(desk.engine).all(
        now - desk.sessions.absolute, now - desk.sessions.idle
    )


def _facts(desk: Desk, account: UserAccount) -> UserFacts:
    user = account.user
    return UserFacts(
        name=user.name,
        version=account.version,
        role=user.role,
        language=user.language,
        extension=user.extension,
        has_phone=account.has_phone,
        rights=sorted(user.rights),
        disabled=user.disabled,
        lines=[
            route.line
            for route in desk.settings.routes
            if route.line and (user.extension in (route.ring or ()) or user.name in route.advisors)
        ],
        subjects=[each.subject for each in account.identities],
        signed_in=account.signed_in,
        tokens=account.tokens,
        second_factor=account.second_factor,
        team=user.team,
    )
