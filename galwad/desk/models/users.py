"""The bodies of requests and responses with which administrators manage the users."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, Field

from galwad.desk.models.accounts import Role
from galwad.desk.models.base import Language, RequestBody, RequiredText, ShortText

PersonRole: TypeAlias = Literal["advisor", "supervisor", "admin"]
Version: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
"""The version of a user, which changes with each change of the user."""


class UserFacts(BaseModel):
    """A user, without secrets.

    `version` changes with each change of the user. A request that changes the user must repeat it.
    `lines` are the lines whose calls ring at the user's extension, or whose calls the user takes.
    `subjects` are the accounts of the OpenID provider with which the user can sign in. `signed_in`
    is the time of the newest sign-in whose session has not ended, or null. `has_phone` is true if
    a phone may register with the extension. `tokens` is the number of tokens. `second_factor` is
    true if the sign-in with a password needs a code. `team` is the code of the user's team, or "".
    """

    name: str
    version: str
    role: Role
    language: Language
    extension: str | None
    has_phone: bool
    rights: list[str]
    disabled: bool
    lines: list[str]
    subjects: list[str]
    signed_in: float | None
    tokens: int
    second_factor: bool
    team: str


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
    """A request that changes a user, with the version of the user on which it is based."""

    version: Version


class NewUser(RequestBody):
    """A request for a new user. A password is made for a person, and a SIP password for a phone."""

    name: RequiredText
    role: Role = "advisor"
    language: Language = "en"
    extension: ShortText = ""
    rights: list[RequiredText] = Field(default_factory=list, max_length=20)


class NewRole(RequestBody):
    """A request to give a person another role. The person loses all rights."""

    version: Version
    role: PersonRole


class NewRights(RequestBody):
    """A request to replace all rights of a user."""

    version: Version
    rights: list[RequiredText] = Field(max_length=20)


class NewExtension(RequestBody):
    """A request to give a user another extension; "" takes the extension away."""

    version: Version
    extension: ShortText


class NewTeam(RequestBody):
    """A request that lets a person belong to another team; "" for none."""

    version: Version
    team: ShortText


class LinkedSubject(RequestBody):
    """A request to link an account of the OpenID provider to a user, or to unlink it."""

    version: Version
    subject: str = Field(min_length=1, max_length=255)
