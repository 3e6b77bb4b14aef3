"""The bodies of the sign-in of a command line that a person approves on the page."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr

from galwad.desk.models.base import RequestBody


class WaitingCommandLine(BaseModel):
    """A sign-in of a command line that waits for an approval.

    It shows `code` and `page`, the address at which the person enters the code. It exchanges
    `secret` for a token, and asks at most once in `interval_s` seconds. All ends after `lifetime_s`
    seconds.
    """

    secret: str
    code: str
    page: str
    interval_s: float
    lifetime_s: float


class CommandLineSecret(RequestBody):
    """The secret with which a command line fetches its token."""

    secret: SecretStr = Field(max_length=100)


class CommandLineCode(RequestBody):
    """The code that a command line shows, as a person types it."""

    code: SecretStr = Field(max_length=20)


class CommandLineFacts(BaseModel):
    """The command line that waits with a code: the network address from which it has asked."""

    address: str
