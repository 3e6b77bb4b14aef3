"""The checks of a password and of a code in a request, with the limits for wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from pydantic import SecretStr

from galwad.host.errors import ApiError
from galwad.messages import Alarm
from galwad.people.second_factor import CodeVerdict, canonical
from galwad.people.sessions import Session
from galwad.people.sign_in.order import RETRY_S, SignInAttempt, digest_of
from galwad.people.sign_in.queue import TurnedAwayError
from galwad.people.subject import PeopleDesk
from galwad.people.user import User
from net.addresses import network_of

_CLOCK_HINT = "send the next code; if it is wrong too, check the clocks of the phone and the server"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A client that signs in as the user `name`, or proves to be this user.

    `device` is the id of a browser in which the user has signed in before; "" in another browser.
    For a user who is signed in, it is the key of the session.
    """

    name: str
    address: str
    device: str

    @classmethod
    def of(cls, request: Request, desk: PeopleDesk, name: str) -> Visitor:
        """Return the client that sends the request."""
        tokens = request.cookies.get(desk.host.settings.desk.device_cookie, "")
        device = desk.people.sign_in_limits.devices.device_of(name, tokens)
        return cls(name, request.client.host if request.client else "", device)

    @classmethod
    def signed_in(cls, request: Request, session: Session) -> Visitor:
        """Return the client of a session. The failures of other clients do not delay it."""
        address = request.client.host if request.client else ""
        return cls(session.user.name, address, session.key)

    @property
    def network(self) -> str:
        """The network of the client's address."""
        return network_of(self.address)

    @property
    def keys(self) -> tuple[str, str, str]:
        """The arguments of the methods of `Throttle`."""
        return self.name, self.address, self.device


def takes_password(desk: PeopleDesk, name: str) -> bool:
    """Return whether the settings let a user of this name sign in with a password."""
    return desk.people.provider is None or desk.people.provider.takes_password_of(name)


def has_password(desk: PeopleDesk, session: Session) -> bool:
    """Return whether a person has signed in with a password, and still may do so."""
    person = session.kind != "machine" and not session.provider
    return person and takes_password(desk, session.user.name)


async def check_password(desk: PeopleDesk, visitor: Visitor, password: SecretStr) -> User | None:
    """Return the user if the password is right; None if not.

    The throttle counts the sign-in as failed, even if the password is right. After a right
    password, call `Throttle.succeeded`, or `Throttle.uncounted` if the sign-in is not complete.

    Raises `ApiError` (429) if the client was turned away before the password was checked.
    """
    secret = password.get_secret_value()
    limits = desk.people.sign_in_limits
    attempt = SignInAttempt(
        *visitor.keys, limits.throttle.knows(visitor.address), digest_of(visitor.name, secret)
    )
    try:
        async with limits.queue.turn(attempt) as turn:
            user = await desk.people.users.check(visitor.name, secret)
            turn.right = user is not None and takes_password(desk, visitor.name)
    except TurnedAwayError:
        desk.people.metrics.sign_ins.labels("throttled").inc()
        raise ApiError(
            429, "too many sign-ins at once", f"wait {RETRY_S} s, then try again", RETRY_S
        ) from None
    return user


async def check_code(desk: PeopleDesk, visitor: Visitor, code: SecretStr) -> CodeVerdict:
    """Check the code of a visitor whose password was right, and count a wrong one.

    Raises:
        ApiError: 429, too many wrong codes for this account came from this known device or network,
            or from strangers if the client is a stranger.
    """
    text = code.get_secret_value()
    limits = desk.people.sign_in_limits
    source = limits.throttle.source(*visitor.keys)
    wait = 0 if canonical(text) else limits.codes.wait(visitor.name, source)
    if wait:
        limits.throttle.uncounted(*visitor.keys)
        desk.people.metrics.sign_ins.labels("throttled").inc()
        hint = f"use a recovery code, or wait {wait} s"
        raise ApiError(429, "too many wrong codes were sent", hint, wait, "codes_barred")
    limits.codes.wrong(visitor.name, source)
    verdict = await desk.people.second_factors.check(visitor.name, text)
    if verdict is not CodeVerdict.WRONG:
        limits.codes.right(visitor.name, source)
    elif limits.codes.alarm_due(visitor.name):
        desk.host.alarm(Alarm("sign_in.codes_guessed"))
    return verdict


def code_refusal(verdict: CodeVerdict, status: int) -> ApiError:
    """Return the error, with this HTTP status, for a code that is not right."""
    if verdict is CodeVerdict.USED:
        return ApiError(
            status, "the code was used already", "wait for the next code", reason="code_used"
        )
    if verdict is CodeVerdict.UNREADABLE:
        return ApiError(
            status,
            "codes of an app cannot be checked: the server has lost its key for them",
            "use a recovery code, or let your administrator remove your second factor",
            reason="code_unreadable",
        )
    return ApiError(status, "the code is wrong", _CLOCK_HINT, reason="code_wrong")


async def prove(
    desk: PeopleDesk,
    visitor: Visitor,
    password: SecretStr,
    refused: str,
    code: SecretStr | None = None,
) -> CodeVerdict | None:
    """Check the password of the signed-in person, and the code too if there is one.

    Return the verdict on the code; None if there is no code. `refused` is the kind of the audit
    entry if the password or the code is wrong.

    Raises:
        ApiError: 403, the password or the code is wrong. 429, after too many wrong codes, or while
            too many sign-ins wait.
    """
    throttle = desk.people.sign_in_limits.throttle
    user = await check_password(desk, visitor, password)
    personal = {"user": visitor.name, "address": visitor.address}
    if user is None:
        desk.people.wrong_password(visitor.name, visitor.network)
        await desk.host.audit.append(refused, {}, personal)
        raise ApiError(403, "the present password is wrong", "check the capital letters")
    verdict = None if code is None else await check_code(desk, visitor, code)
    if verdict is not None and not verdict.right:
        await desk.host.audit.append(refused, {"reason": "code"}, personal)
        raise code_refusal(verdict, 403)
    throttle.succeeded(*visitor.keys)
    if verdict is CodeVerdict.RECOVERY:
        await desk.host.audit.append("user.recovery-code-used", {}, personal)
    return verdict
