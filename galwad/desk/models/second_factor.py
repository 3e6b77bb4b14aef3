"""The bodies of the endpoints with which a person sets up a second factor."""

from __future__ import annotations

from pydantic import BaseModel, Field, SecretStr

from galwad.desk.models.base import RequestBody


class FactorProof(RequestBody):
    """The password, and the code of the second factor that is in force, or a recovery code."""

    password: SecretStr = Field(SecretStr(""), max_length=1024)
    code: SecretStr = Field(SecretStr(""), max_length=40)


class ConfirmSetup(RequestBody):
    """The code that the authenticator app shows for the new secret."""

    code: SecretStr = Field(max_length=40)


class SecondFactorFacts(BaseModel):
    """The second factor of the signed-in person.

    `since` is the Unix time of its setup; None if there is no second factor. `recovery_used` is the
    Unix time of a use of a recovery code that the person has not seen yet. `required` is true if
    the person's role needs a second factor.
    """

    since: float | None
    recovery_left: int = 0
    recovery_used: float | None = None
    required: bool


class QrCode(BaseModel):
    """A QR code as an SVG path, of squares with a width of 1. `size` has the quiet zone too."""

    size: int
    path: str


class SecondFactorSetup(BaseModel):
    """The secret for an authenticator app: as text, in an address, and a QR code of the address."""

    secret: str
    address: str
    qr: QrCode


class RecoveryCodes(BaseModel):
    """New recovery codes, which are not available again. They replace all earlier ones."""

    recovery_codes: list[str]
