"""The bodies of the sign-ins of other clients that a person approves on the page."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr

from galwad.host.bodies import RequestBody


class WaitingSignIn(BaseModel):
    """A sign-in of a command line or a panel that waits for an approval.

    The client shows `code`, and the person approves it at the address `page`. The client exchanges
    `secret` for its session, and asks at most once in `interval_s` seconds. All ends after
    `lifetime_s` seconds.
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
