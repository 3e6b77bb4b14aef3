"""The request body for signing in, and the response body with the user who is signed in."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, SecretStr

from galwad.host.bodies import Language, RequestBody, RequiredText
from galwad.people.user import Role


class Login(RequestBody):
    """A request to sign in with name and password.

    `code` is the code of an authenticator app, or a recovery code. It is needed if the user has a
    second factor. If `client` is "cli", the response contains a bearer token. Otherwise, the
    response sets a cookie. "embedded" means the page in a panel of a CRM.
    """

    user: RequiredText
    password: SecretStr = Field(max_length=1024)
    code: SecretStr = Field(SecretStr(""), max_length=40)
    client: Literal["page", "embedded", "cli"] = "page"


class ChangePassword(RequestBody):
    """A request of a person to replace their own password."""

    current: SecretStr = Field(max_length=1024)
    new: SecretStr = Field(max_length=1024)


class Me(BaseModel):
    """The user who is signed in, and the limits of the user's session.

    `token` is the bearer token. It is set only in the response to a sign-in from the command line.
    The session ends after `idle` seconds without use, or at the Unix time `until`, whichever comes
    first. `changes_password` is true if the user has a password of Galwad and may replace it, and
    so may have a second factor. If `needs_second_factor` is true, the session can only set it up.
    Each request of an embedded page that changes something must send `csrf` in the header field
    `X-Galwad-CSRF`.
    """

    user: str
    role: Role
    language: Language
    extension: str | None = None
    token: str | None = None
    idle: float | None = None
    until: float | None = None
    csrf: str | None = None
    changes_password: bool = False
    needs_second_factor: bool = False


class ProviderAddress(BaseModel):
    """The address of the provider's page to which the browser must go next."""

    url: str
