"""Bodies for signing in, and for the user who is signed in."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, Field, SecretStr

from galwad.desk.models.base import Language, RequestBody, RequiredText

Role: TypeAlias = Literal["advisor", "supervisor", "admin", "machine"]


class Login(RequestBody):
    """A password sign-in; `client: "cli"` asks for a bearer token instead of a cookie."""

    user: RequiredText
    password: SecretStr = Field(max_length=1024)
    client: Literal["page", "cli"] = "page"


class Me(BaseModel):
    """The user who is signed in; `token` is only in the answer to a command line's sign-in.

    The session ends after `idle` seconds without use, and at the Unix time `until` at the latest.
    """

    user: str
    role: Role
    language: Language
    extension: str | None = None
    token: str | None = None
    idle: float | None = None
    until: float | None = None
