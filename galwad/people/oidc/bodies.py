"""The bodies of the sign-in with the account of an OpenID provider."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from galwad.host.bodies import Language, RequestBody


class SignInOptions(BaseModel):
    """The ways to sign in. `passwords` says for whom there are passwords of Galwad."""

    provider: bool
    passwords: Literal["everyone", "few"]


class BeginSignIn(RequestBody):
    """A request to begin a sign-in at the provider. `language` is that of the provider's page.

    If `step_up` is true, the signed-in person proves a stronger sign-in, and comes back to the part
    `place` of the page.
    """

    language: Language = "en"
    step_up: bool = False
    place: Literal["", "admin", "command-line"] = ""


class ProviderAddress(BaseModel):
    """The address of the provider's page to which the browser must go next."""

    url: str
