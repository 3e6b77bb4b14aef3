"""Endpoints with which people set up, replace and switch off their second factor.

They are for people who sign in with a password. A change of a second factor that is in force needs
the password and a code. The first setup needs only the password. In a session that can do nothing
else, a first setup needs no password, because the person has just signed in.
"""

from __future__ import annotations

from dataclasses import asdict
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, SecretStr

from galwad.host.bodies import RequestBody
from galwad.host.errors import ApiError
from galwad.people import totp
from galwad.people.access import EnteringPerson, Person
from galwad.people.proofs import Visitor, has_password, prove
from galwad.people.second_factor import FactorStatus, SecretBoxError, SetupError
from galwad.people.sessions import Session
from galwad.people.subject import PeopleDesk, TheDesk

router = APIRouter(prefix="/me/second-factor", tags=["second_factor"])
_REFUSED = "user.second-factor-change-refused"
_MINUTE_S = 60


class FactorProof(RequestBody):
    """The password, and the code of the second factor that is in force, or a recovery code."""

    password: SecretStr = Field(SecretStr(""), max_length=1024)
    code: SecretStr = Field(SecretStr(""), max_length=40)


class ConfirmSetup(RequestBody):
    """The code that the authenticator app shows for the new secret."""

    code: SecretStr = Field(max_length=40)


class SecondFactorFacts(BaseModel):
    """The second factor of the signed-in person.

    `since` is the Unix time of its setup; None if there is no second factor. `recovery_used` is the
    Unix time at which a recovery code was used; None if no code was used, or the person has seen
    the notice of it. `required` is true if the person's role needs a second factor.
    """

    since: float | None
    recovery_left: int = 0
    recovery_used: float | None = None
    required: bool


class QrCode(BaseModel):
    """A QR code as an SVG path. Each module has the width 1. `size` includes the empty border."""

    size: int
    path: str


class SecondFactorSetup(BaseModel):
    """The secret for an authenticator app: as text, in an address, and a QR code of the address."""

    secret: str
    address: str
    qr: QrCode


class RecoveryCodes(BaseModel):
    """New recovery codes, which are not available again. They replace all earlier ones."""

    recovery_codes: list[str]


@router.get("")
async def facts(desk: TheDesk, session: EnteringPerson) -> SecondFactorFacts:
    """Return the facts about the person's second factor, such as the number of recovery codes."""
    required = _required(desk, session)
    status = await desk.people.second_factors.status(session.user.name)
    if status is None:
        return SecondFactorFacts(since=None, required=required)
    return SecondFactorFacts(**asdict(status), required=required)


@router.post("/setup")
async def begin(
    body: FactorProof, request: Request, desk: TheDesk, session: EnteringPerson
) -> SecondFactorSetup:
    """Begin to set up or replace the second factor. It comes into force when it is confirmed.

    A replacement needs the password and a code. The first setup needs only the password. In a
    session that can do nothing else, a first setup needs no password.

    Raises:
        ApiError: 403, the password or the code is wrong. 409, the person signs in at a provider.
            429, too many sign-ins wait, or too many codes were wrong.
    """
    _refuse_without_password(desk, session)
    status = await desk.people.second_factors.status(session.user.name)
    if not session.needs_second_factor or status is not None:
        await _prove(desk, request, session, body, status)
    secret = desk.people.second_factors.begin(session)
    host = urlsplit(desk.host.settings.desk.origin).hostname or desk.host.settings.node.name
    address = totp.setup_address(secret, session.user.name, host)
    size, path = totp.drawn(address)
    return SecondFactorSetup(
        secret=totp.text_of(secret),
        address=address,
        qr=QrCode(size=size + 2 * totp.QUIET, path=path),
    )


@router.post("/confirm")
async def confirm(body: ConfirmSetup, desk: TheDesk, session: EnteringPerson) -> RecoveryCodes:
    """Put the second factor into force with a first code, and return the recovery codes.

    This ends the person's other sessions that were opened with a password.

    Raises:
        ApiError: 409, there is no setup, or it has expired. 422, the code is wrong, or is for
            another time. 503, the second factor cannot be stored.
    """
    try:
        codes = await desk.people.second_factors.confirm(session, body.code.get_secret_value())
    except SetupError as error:
        raise _refusal(error) from None
    except SecretBoxError:
        raise ApiError(
            503, "the second factor cannot be stored", "see the desk's journal: nothing was changed"
        ) from None
    desk.people.sessions.recheck()
    desk.host.streams.wake()
    await _audit(desk, session, "user.second-factor-set")
    return RecoveryCodes(recovery_codes=codes)


@router.post("/recovery-codes")
async def renew(
    body: FactorProof, request: Request, desk: TheDesk, session: Person
) -> RecoveryCodes:
    """Replace the recovery codes.

    Raises:
        ApiError: 403, the password or the code is wrong. 409, there is no second factor, or the
            person signs in at a provider. 429, too many sign-ins wait, or too many codes were
            wrong.
    """
    await _prove(desk, request, session, body, await _present(desk, session))
    codes = await desk.people.second_factors.renew_codes(session.user.name)
    await _audit(desk, session, "user.recovery-codes-made")
    return RecoveryCodes(recovery_codes=codes)


@router.post("/remove", status_code=204)
async def remove(body: FactorProof, request: Request, desk: TheDesk, session: Person) -> None:
    """Switch the second factor off.

    Raises:
        ApiError: 403, the password or the code is wrong. 409, there is no second factor, the
            person's role needs it, or the person signs in at a provider. 429, too many sign-ins
            wait, or too many codes were wrong.
    """
    status = await _present(desk, session)
    if _required(desk, session):
        raise ApiError(
            409,
            "your role needs a second factor",
            "replace the second factor instead of removing it",
            reason="second_factor_needed",
        )
    await _prove(desk, request, session, body, status)
    await desk.people.second_factors.switch_off(session.user.name)
    await _audit(desk, session, "user.second-factor-removed")


@router.post("/seen", status_code=204)
async def seen(desk: TheDesk, session: Person) -> None:
    """Store that the person has seen the notice of a used recovery code."""
    await desk.people.second_factors.seen(session.user.name)


def _required(desk: PeopleDesk, session: Session) -> bool:
    return (
        has_password(desk, session)
        and session.user.role in desk.host.settings.desk.second_factor_roles
    )


def _refuse_without_password(desk: PeopleDesk, session: Session) -> None:
    if not has_password(desk, session):
        raise ApiError(
            409,
            "you sign in with your work account",
            "the provider of this account asks for a second factor, if it needs one",
            reason="no_password",
        )


async def _present(desk: PeopleDesk, session: Session) -> FactorStatus:
    _refuse_without_password(desk, session)
    status = await desk.people.second_factors.status(session.user.name)
    if status is None:
        raise ApiError(
            409,
            "you have no second factor",
            "set up a second factor first",
            reason="no_second_factor",
        )
    return status


async def _prove(
    desk: PeopleDesk,
    request: Request,
    session: Session,
    body: FactorProof,
    status: FactorStatus | None,
) -> None:
    visitor = Visitor.signed_in(request, session)
    code = None if status is None else body.code
    await prove(desk, visitor, body.password, _REFUSED, code)


async def _audit(desk: PeopleDesk, session: Session, kind: str) -> None:
    await desk.host.audit.append(kind, {}, {"user": session.user.name, "actor": session.actor})


def _refusal(error: SetupError) -> ApiError:
    if error.reason == "none":
        return ApiError(
            409,
            "there is no setup in progress: it may have expired",
            "begin again",
            reason="setup_expired",
        )
    if error.reason == "clock":
        minutes = max(1, round(abs(error.seconds) / _MINUTE_S))
        side = "ahead of" if error.seconds > 0 else "behind"
        return ApiError(
            422,
            f"the code is for another time: the phone is {minutes} min {side} the server",
            "correct the clock of the phone or of the server, then send a new `code`",
            reason="clock",
        )
    return ApiError(
        422, "the code is wrong", "send in `code` what the app shows now", reason="code_wrong"
    )
