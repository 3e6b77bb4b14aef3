"""The second factors of users: a secret for one-time codes, and recovery codes.

The database has the secret encrypted, with a key that is in a file of this node and in no backup.
So a copy of the database, such as a backup, shows no secret. A recovery code has 80 random bits and
cannot be guessed, so a plain digest in the database is safe.

Each one-time code is accepted once: the database has the step of the most recent code, and a single
statement compares and replaces this step. A single statement also marks a recovery code as used.

A secret comes into force when its user has confirmed it with a code. Until then it is only in
memory, so a restart of the desk ends a setup.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import CursorResult, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from galwad.people import totp
from galwad.people.sessions import Session
from galwad.people.store import recovery_codes, second_factors, sessions
from galwad.people.user import KINDS
from recording.files.atomic import write_atomic

SETUP_S: Final = 900.0
"""The seconds in which a setup must be confirmed."""
_OTHER_TIMES: Final = 3600 // totp.STEP_S
"""The most steps (one hour) of a clock error that `SetupError` can show."""
_ONE_TIME: Final = re.compile(r"[0-9]{6}")
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_RECOVERY_CODES: Final = 10
_RECOVERY_BYTES: Final = 10
_RECOVERY_FORM: Final = re.compile(r"[a-z2-7]{16}")
_MISREAD: Final = str.maketrans("018", "olb")
"""Replaces digits that no recovery code has by the letters that people mistake for them."""
log = structlog.get_logger()


class CodeVerdict(StrEnum):
    """The result of the check of a code."""

    ACCEPTED = "code"
    """The one-time code is right, and was not used before."""
    RECOVERY = "recovery_code"
    """The recovery code is right. It is used up now."""
    WRONG = "wrong"
    """The code is wrong, is for another time, or is a recovery code that was used already."""
    USED = "used"
    """The one-time code is right, but it or a newer one was used already."""
    UNREADABLE = "unreadable"
    """One-time codes cannot be checked, because the key of the secret is missing or wrong."""

    @property
    def right(self) -> bool:
        """True if the code completes the sign-in."""
        return self in {CodeVerdict.ACCEPTED, CodeVerdict.RECOVERY}


class SetupError(Exception):
    """A setup cannot be confirmed. `reason` is "none", "wrong" or "clock".

    With "none", there is no setup, or it has expired. With "clock", the code is right for another
    time: `seconds` is how far the phone's clock is ahead of the server's, negative if it is behind.
    """

    def __init__(self, reason: str, seconds: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class FactorStatus:
    """The second factor of a user, without its secret. Times are Unix times in seconds.

    `recovery_used` is the time at which a recovery code was used; None if no code was used, or the
    user has seen the notice of it.
    """

    since: float
    recovery_left: int
    recovery_used: float | None


@dataclass(frozen=True, slots=True)
class _Setup:
    user: str
    secret: bytes
    until: float


class SecretBoxError(Exception):
    """A secret cannot be encrypted or decrypted, because the file with the key is not usable."""


class SecretBox:
    """Encrypts and decrypts secrets with the key in the file `path` (AES-256-GCM).

    An encrypted secret is bound to its user: it cannot be decrypted for another user.

    The first secret creates the file, with the mode 0600, if it does not exist. A file that is
    damaged is never replaced, because a person may be able to repair it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._key = b""

    def seal(self, user: str, secret: bytes) -> str:
        """Return a user's secret, encrypted, in base64. Raises `SecretBoxError`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        key = self._key or self._load(create=True)
        box = AESGCM(key).encrypt(nonce, secret, user.encode())
        return base64.b64encode(nonce + box).decode()

    def open(self, user: str, sealed: str) -> bytes:
        """Return the secret of a user that `seal` has encrypted. Raises `SecretBoxError`."""
        box = base64.b64decode(sealed)
        try:
            cipher = AESGCM(self._key or self._load(create=False))
            return cipher.decrypt(box[:_NONCE_BYTES], box[_NONCE_BYTES:], user.encode())
        except InvalidTag:
            raise SecretBoxError(f"{self._path} has another key") from None

    def _load(self, *, create: bool) -> bytes:
        try:
            key = self._path.read_bytes()
        except FileNotFoundError:
            if not create:
                raise SecretBoxError(f"{self._path} does not exist") from None
            key = self._create()
        except OSError as error:
            raise SecretBoxError(f"cannot read {self._path}: {error.strerror}") from None
        if len(key) != _KEY_BYTES:
            raise SecretBoxError(f"{self._path} is damaged")
        self._key = key
        return key

    def _create(self) -> bytes:
        key = secrets.token_bytes(_KEY_BYTES)
        try:
            write_atomic(self._path, key, 0o600)
        except OSError as error:
            raise SecretBoxError(f"cannot write {self._path}: {error.strerror}") from None
        return key


class SecondFactors:
    """The second factors in the database of one node. `clock` returns the Unix time in seconds."""

    def __init__(
        self, engine: AsyncEngine, box: SecretBox, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)
        self._box = box
        self._clock = clock
        self._setups: dict[str, _Setup] = {}
        """The setups that are not confirmed yet, by the digest of the session's token."""

    async def status(self, user: str) -> FactorStatus | None:
        """Return the second factor of a user, or None if the user has none."""
        left = (
            select(func.count())
            .where(recovery_codes.c.user == user, recovery_codes.c.used.is_(None))
            .scalar_subquery()
        )
        statement = select(second_factors, left.label("left")).where(second_factors.c.user == user)
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).first()
        return None if row is None else FactorStatus(row.created, row.left, row.recovery_used)

    def begin(self, session: Session) -> bytes:
        """Begin a setup for the user of a session, and return its new secret.

        An earlier setup of this session ends. A second factor that is in force stays so.
        """
        now = self._clock()
        self._setups = {key: each for key, each in self._setups.items() if each.until > now}
        setup = _Setup(session.user.name, totp.new_secret(), now + SETUP_S)
        self._setups[session.key] = setup
        return setup.secret

    async def confirm(self, session: Session, code: str) -> list[str]:
        """Put the secret of a setup into force, and return new recovery codes.

        The sessions that the user has opened with a password end, except this one, which now has
        all rights of the user.

        Raises:
            SetupError: There is no setup, it has expired, or the code is wrong.
            SecretBoxError: The secret cannot be encrypted.
        """
        now = self._clock()
        setup = self._setups.get(session.key)
        if setup is None or setup.until < now:
            raise SetupError("none")
        step = totp.matching_step(setup.secret, _digits(code), now)
        if step is None:
            # Only the user knows this secret, so it is safe to say for which time a code is right.
            other = totp.matching_step(setup.secret, _digits(code), now, _OTHER_TIMES)
            if other is None:
                raise SetupError("wrong")
            raise SetupError("clock", (other - totp.step_at(now)) * totp.STEP_S)
        user = setup.user
        row = {
            "user": user,
            "secret": self._box.seal(user, setup.secret),
            "last_step": step,
            "created": now,
        }
        async with self._writer.begin() as connection:
            await _forget(connection, user)
            await connection.execute(insert(second_factors).values(row))
            fresh = await _new_codes(connection, user)
            await _end_sessions(connection, user, but=session.key)
            await connection.execute(
                update(sessions)
                .where(sessions.c.token_sha256 == session.key)
                .values(needs_second_factor=False)
            )
        del self._setups[session.key]
        return fresh

    async def check(self, user: str, code: str) -> CodeVerdict:
        """Check a one-time or recovery code, and use up a right one.

        For a user without a second factor, each code is `WRONG`.
        """
        recovery = canonical(code)
        if recovery:
            return await self._use_recovery_code(user, recovery)
        statement = select(second_factors).where(second_factors.c.user == user)
        async with self._engine.connect() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return CodeVerdict.WRONG
        try:
            secret = self._box.open(user, row.secret)
        except SecretBoxError as error:
            log.error("second_factor.unreadable", reason=str(error))  # noqa: TRY400 - no traceback
            return CodeVerdict.UNREADABLE
        step = totp.matching_step(secret, _digits(code), self._clock())
        if step is None:
            return CodeVerdict.WRONG
        newer = (second_factors.c.user == user) & (second_factors.c.last_step < step)
        accepted = await self._changed(
            update(second_factors)
            .where(newer, second_factors.c.secret == row.secret)
            .values(last_step=step)
        )
        return CodeVerdict.ACCEPTED if accepted else CodeVerdict.USED

    async def renew_codes(self, user: str) -> list[str]:
        """Replace all recovery codes of a user, and return the new ones."""
        async with self._writer.begin() as connection:
            return await _new_codes(connection, user)

    async def seen(self, user: str) -> None:
        """Store that the user has seen the notice of a used recovery code."""
        await self._changed(
            update(second_factors).where(second_factors.c.user == user).values(recovery_used=None)
        )

    async def switch_off(self, user: str) -> None:
        """Remove the second factor of a user, if there is one. No session ends."""
        async with self._writer.begin() as connection:
            await _forget(connection, user)

    async def _use_recovery_code(self, user: str, code: str) -> CodeVerdict:
        now = self._clock()
        unused = (recovery_codes.c.digest == digest_of(user, code)) & (
            recovery_codes.c.used.is_(None)
        )
        async with self._writer.begin() as connection:
            done = await connection.execute(update(recovery_codes).where(unused).values(used=now))
            if not done.rowcount:
                return CodeVerdict.WRONG
            await connection.execute(
                update(second_factors)
                .where(second_factors.c.user == user)
                .values(recovery_used=now)
            )
        return CodeVerdict.RECOVERY

    async def _changed(self, statement: object) -> bool:
        async with self._writer.begin() as connection:
            done: CursorResult[tuple[()]] = await connection.execute(statement)  # type: ignore[call-overload]
        return bool(done.rowcount)


async def remove_second_factor(connection: AsyncConnection, user: str) -> bool:
    """Remove the second factor of a user, for an administrator; return False if there is none.

    The sessions that the user has opened with a password end. Tokens, and sessions of a sign-in at
    a provider, stay valid.
    """
    if not await _forget(connection, user):
        return False
    await _end_sessions(connection, user)
    return True


async def _forget(connection: AsyncConnection, user: str) -> bool:
    await connection.execute(delete(recovery_codes).where(recovery_codes.c.user == user))
    done = await connection.execute(delete(second_factors).where(second_factors.c.user == user))
    return bool(done.rowcount)


async def _new_codes(connection: AsyncConnection, user: str) -> list[str]:
    fresh = new_codes()
    rows = [{"digest": digest_of(user, canonical(code)), "user": user} for code in fresh]
    await connection.execute(delete(recovery_codes).where(recovery_codes.c.user == user))
    await connection.execute(insert(recovery_codes), rows)
    return fresh


async def _end_sessions(connection: AsyncConnection, user: str, but: str = "") -> None:
    """End the sessions that the user has opened with a password, except the one with key `but`."""
    theirs = (sessions.c.user == user) & sessions.c.kind.not_in(KINDS)
    by_password = sessions.c.provider.is_(False) & (sessions.c.token_sha256 != but)
    await connection.execute(delete(sessions).where(theirs, by_password))


def _digits(code: str) -> str:
    """Return a typed code without spaces; "" if it is not a one-time code."""
    digits = re.sub(r"\s", "", code)
    return digits if _ONE_TIME.fullmatch(digits) else ""


def new_codes() -> list[str]:
    """Return new recovery codes, such as `k7qd-m2ye-4fxa-zo6t`."""
    return [_new() for _ in range(_RECOVERY_CODES)]


def canonical(text: str) -> str:
    """Return a typed recovery code without spaces and hyphens; "" if the text is not one."""
    code = re.sub(r"[\s-]", "", text).lower().translate(_MISREAD)
    return code if _RECOVERY_FORM.fullmatch(code) else ""


def digest_of(user: str, code: str) -> str:
    """Return the digest of a recovery code in canonical form, as the database stores it."""
    return hashlib.sha256(f"{user}\n{code}".encode()).hexdigest()


def _new() -> str:
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))
