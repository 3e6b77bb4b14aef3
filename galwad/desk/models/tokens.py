"""Request and response bodies for tokens of machines and personal tokens."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from pydantic import BaseModel, Field

from galwad.desk.models.base import RequestBody, RequiredText

DEFAULT_DAYS: Final = 365
MAX_DAYS: Final = 1096
Days: TypeAlias = Annotated[int, Field(ge=1, le=MAX_DAYS)]
"""The days after which a new token expires."""


class NewOwnToken(RequestBody):
    """A request of a person for a token that pauses and resumes this person's own calls."""

    name: RequiredText
    days: Days = DEFAULT_DAYS


class NewMachineToken(RequestBody):
    """A request of an administrator for a further token of a machine.

    `rights` are the rights of the machine that the token can use; None means all of them.
    """

    user: RequiredText
    name: RequiredText
    rights: list[RequiredText] | None = Field(default=None, max_length=20)
    days: Days = DEFAULT_DAYS


class TokenFacts(BaseModel):
    """A token, without its secret.

    `rights` is None if the token can use all rights of its user. `expires` is None if it does not
    expire. `last_used` may be half a minute late, and is None if the token was never used.
    """

    id: str
    user: str
    name: str
    rights: list[str] | None
    created: float
    created_by: str
    expires: float | None
    last_used: float | None
    address: str


class OwnTokens(BaseModel):
    """The personal tokens of the signed-in person. `allowed` is false if no new one can be made."""

    allowed: bool
    tokens: list[TokenFacts]


class MadeToken(BaseModel):
    """The response with a new token. `secret` is not available again later."""

    secret: str
    token: TokenFacts
