"""A user: the values, the rules for them, and the changes that can be made.

Each user has a name and a role, and may have the extension of a phone. A user with the role
`machine` has no password, but bearer tokens and a list of rights. The role of any other user
decides what the user may do. Only the right `purge` must be given separately: an administrator
needs it to dispose of recordings.

Some of the classes are also bodies of the API's requests and answers. This module does not load
SQLAlchemy, which would delay the help of commands by a second.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import ConfigDict, Field, PlainSerializer

from callerid.card_number import ADVICE, has_card_number
from galwad.host.bodies import Language, RequiredText, ShortText

PAUSE: Final = "pause"
"""The kind and the only scope of a personal token: pause and resume the calls of its user."""
KINDS: Final = frozenset({"machine", PAUSE})
"""The kinds of sessions that are tokens."""
LEAST_LENGTH: Final = 12
"""The fewest characters of a password."""
_SECRET_BYTES: Final = 15
_LEAST_LETTERS: Final = 5
"""The fewest different characters of a password that a person chooses."""
_MOST_STEPS: Final = 0.7
"""The largest share of characters that repeat or adjoin their predecessor, such as in "aab321"."""
_COMMON: Final = (
    *("password", "passw0rd", "pa55word", "cyfrinair", "qwerty", "letmein", "welcome", "croeso"),
    *("changeme", "administrator", "galwad", "iloveyou", "council", "cyngor", "wales", "cymru"),
)


def new_secret() -> str:
    """Return a new random password."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def is_easy_to_guess(password: str, name: str) -> bool:
    """Return whether a person named `name` must not choose this password.

    A password is too easy if it is short, has few different characters, or consists mostly of
    characters that repeat or adjoin their predecessor. If it has a common word or a part of the
    name, it must also have `LEAST_LENGTH // 2` other letters.
    """
    text = password.casefold()
    if len(password) < LEAST_LENGTH or len(set(text)) < _LEAST_LETTERS:
        return True
    steps = sum(ord(second) - ord(first) in {0, 1, -1} for first, second in pairwise(text))
    if steps > _MOST_STEPS * (len(text) - 1):
        return True
    words = sorted({*_COMMON, *re.split(r"[._-]", name.casefold())} - {""}, key=len, reverse=True)
    rest = text
    for word in words:
        if len(word) > 2:
            rest = rest.replace(word, "")
    return rest != text and sum(each.isalpha() for each in rest) < LEAST_LENGTH // 2


Role: TypeAlias = Literal["advisor", "supervisor", "admin", "machine"]
NEW: Final = "new"
"""The value of `password` or `sip_password` in a `UserChange` that makes a new password."""
DEFAULT_DAYS: Final = 365
"""The days after which a token expires if its maker names no other number."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_EXTENSION: Final = re.compile(r"[A-Za-z0-9._-]{1,32}")
_LONGEST_SUBJECT: Final = 255


class Right(StrEnum):
    """The rights that a user can be given.

    `purge` is for administrators. All other rights are for machines.
    """

    PAYMENTS = "payments"
    METRICS = "metrics"
    ANCHORS = "anchors"
    DIRECTORIES = "directories"
    EVENTS = "events"
    PURGE = "purge"


RIGHTS: tuple[str, ...] = tuple(Right)
PURGE = Right.PURGE.value
Rights: TypeAlias = Annotated[frozenset[str], PlainSerializer(sorted, return_type=list[str])]
"""Rights, which the API lists in alphabetical order."""
Subject: TypeAlias = Annotated[str, Field(min_length=1, max_length=_LONGEST_SUBJECT)]
"""The subject of an account of the OpenID provider."""


def rights_of() -> dict[Role, list[str]]:
    """Return the rights that a user of each role can have."""
    machine = [right for right in RIGHTS if right != PURGE]
    return {"advisor": [], "supervisor": [], "admin": [PURGE], "machine": machine}


class UserError(Exception):
    """A user cannot be added or changed as requested. The error's text gives the reason.

    `hint` says what the administrator can do, or is "". `reason` names the error for the page, or
    is "".
    """

    def __init__(self, message: str, hint: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        self.reason = reason


class UnknownUserError(UserError):
    """There is no user with this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f'there is no user "{name}"', reason="unknown")


@dataclass(frozen=True, slots=True)
class User:
    """One user, without passwords and other secrets."""

    name: str
    role: Role
    language: Language = "en"
    extension: str | None = None
    rights: Rights = frozenset()
    disabled: bool = False
    team: str = ""
    """The code of the user's team; "" if the user belongs to none."""

    @property
    def supervises(self) -> bool:
        """True if this user is a supervisor or administrator, who sees the calls of all users."""
        return self.role in {"supervisor", "admin"}

    def check(self, password: str | None, sip_password: str | None = None) -> None:
        """Check a new user's values and passwords. Raises `UserError`."""
        _check_name(self)
        if self.role not in get_args(Role):
            raise UserError(f'unknown role "{self.role}": choose {", ".join(get_args(Role))}')
        if self.language not in {"en", "cy"}:
            raise UserError(f'unknown language "{self.language}": choose en or cy')
        check_extension(self.extension)
        if sip_password is not None and self.extension is None:
            raise UserError("a SIP password needs an extension: add one")
        self.check_rights()
        self.check_password(password)

    def check_password(self, password: str | None) -> None:
        """Check a new password (None for a machine). Raises `UserError`."""
        if (password is None) != (self.role == "machine"):
            raise UserError(
                "a person needs a password, and a machine must not have one",
                "`galwad users disable` and then `enable` gives a machine a new token",
                "machine",
            )
        if password is not None and len(password) < LEAST_LENGTH:
            raise UserError(f"the password is too short: use at least {LEAST_LENGTH} characters")

    def check_rights(self) -> None:
        """Check that the user's role permits the user's rights. Raises `UserError`."""
        if self.rights - set(RIGHTS):
            unknown = ", ".join(sorted(self.rights - set(RIGHTS)))
            raise UserError(f"unknown right {unknown}: choose {', '.join(RIGHTS)}", reason="rights")
        wrong = self.rights - set(rights_of()[self.role])
        if wrong:
            rights = ", ".join(sorted(wrong))
            raise UserError(
                f"the role {self.role} cannot have {rights}: "
                "machines may have payments, metrics, anchors, directories and events; "
                "administrators may have purge",
                reason="rights",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class UserFacts(User):
    """A user, without secrets.

    `version` changes with each change of the user except of the second factor. A request that
    changes the user must repeat it. `lines` are the lines whose routes ring the user's extension or
    name the user as an advisor. `subjects` are the subjects of the linked accounts of OpenID
    providers. `signed_in` is the Unix time of the newest sign-in whose session has not ended, or
    null. `has_phone` is true if there is a SIP password for the extension. `tokens` is the number
    of tokens, including expired tokens. `second_factor` is true if the sign-in with a password
    needs a code. `team` is the code of the user's team, or "".
    """

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    version: str
    has_phone: bool = False
    lines: list[str] = field(default_factory=list)
    subjects: list[str] = field(default_factory=list)
    signed_in: float | None = None
    tokens: int = 0
    second_factor: bool = False


@dataclass(frozen=True, slots=True)
class ProviderIdentity:
    """A person at an OpenID provider: the issuer of the tokens, and the subject there."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserChange:
    """Changes of one user. Either all take place or none. A value of None changes nothing.

    All sessions and tokens of the user end if the role, the password or an identity changes, or if
    `disabled` is true. The loss of the second factor ends the sessions that a password has opened.
    """

    role: Role | None = None
    """Another role of a person, who then has only the rights in `rights`."""
    rights: Annotated[tuple[RequiredText, ...], Field(max_length=20)] | None = None
    """All rights that the user has from now on."""
    team: ShortText | None = None
    """The code of a team; "" for none."""
    extension: ShortText | None = None
    """Another extension, whose phone gets a new password; "" for none.

    A disabled user who has this extension loses it.
    """
    password: Literal["new"] | None = None
    """`NEW` for another password."""
    sip_password: Literal["new"] | None = None
    """`NEW` for another password of the user's phone."""
    disabled: bool | None = None
    """True disables the user. False enables the user, and gives a machine a new token."""
    second_factor: Literal[False] | None = None
    """False removes the second factor."""
    link: Subject | None = None
    """The subject of an identity with which the person can sign in from now on."""
    unlink: Subject | None = None
    """The subject of an identity with which the person cannot sign in any more."""

    def check(self) -> None:
        """Check the values of `extension` and `link`. Raises `UserError`."""
        check_extension(self.extension or None)
        if self.link is not None and not (
            0 < len(self.link) <= _LONGEST_SUBJECT and self.link.isprintable()
        ):
            raise UserError(
                "the subject is empty, too long or not printable",
                "copy it from the provider",
                "subject",
            )


def _check_name(user: User) -> None:
    if has_card_number(user.name) or has_card_number(user.extension or ""):
        raise UserError(
            f"the name or extension seems to be a payment card number: {ADVICE}", reason="name"
        )
    if not _NAME.fullmatch(user.name):
        raise UserError(
            f'the name "{user.name}" is not valid: use up to 64 lower-case letters, digits, '
            "dots, underscores and hyphens, the first a letter or a digit",
            reason="name",
        )


def check_extension(extension: str | None) -> None:
    """Check whether a phone can have this extension. Raises `UserError`."""
    if has_card_number(extension or ""):
        raise UserError(
            f"the extension seems to be a payment card number: {ADVICE}", reason="extension"
        )
    if extension is not None and not _EXTENSION.fullmatch(extension):
        raise UserError(
            f'the extension "{extension}" is not valid: '
            "use up to 32 letters, digits, dots, underscores and hyphens",
            reason="extension",
        )
