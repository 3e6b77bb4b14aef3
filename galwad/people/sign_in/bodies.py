"""The bodies of requests and responses for signing in."""

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
    first. `changes_password` is true if the user signs in with a password of Galwad. This user may
    replace the password and have a second factor. If `needs_second_factor` is true, the session can
    only set up a second factor. Each request of an embedded page that changes something must send
    `csrf` in the header field `X-Galwad-CSRF`.
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


class WaitingSignIn(BaseModel):
    """A sign-in of a command line or a panel that waits for an approval.

    The client shows `code`, and the person approves it at the address `page`. The client exchanges
    `secret` for its session, and asks at most once in `interval_s` seconds. The secret and the code
    expire after `lifetime_s` seconds.
    """

    secret: str
    code: str
    page: str
    interval_s: float
    lifetime_s: float


class WaitingSecret(RequestBody):
    """The secret with which a command line or a panel fetches its session."""

    secret: SecretStr = Field(max_length=100)


class WaitingCode(RequestBody):
    """The code that a command line or a panel shows, as a person types it."""

    code: SecretStr = Field(max_length=20)


class CommandLineFacts(BaseModel):
    """The command line that waits with a code: the network address from which it has asked."""

    address: str


class BeginPanel(RequestBody):
    """A request to begin the sign-in of a panel. `site` is the origin of the page around it."""

    site: str = Field(max_length=300)


class PanelFacts(BaseModel):
    """The panel that waits with a code: its site, and the network address from which it has asked.

    `same_network` is true if this request comes from the network of that address.
    """

    site: str
    address: str
    same_network: bool
