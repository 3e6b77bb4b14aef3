"""The settings of `[sign_in]`: the OpenID provider with whose accounts people sign in."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from config.fields import FilePath, Number
from config.section import Section, TlsSection
from config.values import Url

ISSUER = 'an address that begins with "https://", as the provider writes it in its tokens'
PersonRole: TypeAlias = Literal["advisor", "supervisor", "admin"]
_Word: TypeAlias = Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,200}$")]
_GUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class SignInSection(Section):
    """`[sign_in]`: the provider, who Galwad is there, and which of its roles may do what."""

    issuer: Url = Field(description=ISSUER)
    client_id: _Word = Field(description="the id under which Galwad is registered there")
    secret_file: FilePath = Field(description="an absolute path of a file with the client's secret")
    scopes: tuple[_Word, ...] = Field(
        default=("openid", "profile"), description='a list with "openid", such as ["openid"]'
    )
    identity: Literal["sub", "oid"] = Field(default="sub", description='"sub" or "oid"')
    tenant: str = Field(
        default="", pattern=_GUID, description="the tenant's id in lower case, if identity is oid"
    )
    roles_claim: _Word = Field(default="roles", description='the name of a claim, such as "roles"')
    roles: dict[str, PersonRole] = Field(
        min_length=1, description='a table such as { "Galwad.Advisor" = "advisor" }'
    )
    password_users: tuple[str, ...] | None = Field(
        default=None, description='a list of user names, such as ["emergency"]'
    )
    step_up: _Word | None = Field(
        default=None, description='a value that the provider gives for a stronger sign-in: "c1"'
    )
    step_up_claim: Literal["acr", "acrs"] = Field(default="acr", description='"acr" or "acrs"')
    step_up_lifetime: Number = Field(
        default=600.0, ge=60.0, le=36_000.0, description="a number of seconds from 60 to 36000"
    )
    timeout: Number = Field(
        default=10.0, ge=0.1, le=60.0, description="a number of seconds from 0.1 to 60"
    )
    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')

    @model_validator(mode="after")
    def _check_provider(self) -> Self:
        if urlsplit(self.issuer).query:
            raise ValueError('needs an "issuer" without "?"')
        if "openid" not in self.scopes:
            raise ValueError('needs "openid" in "scopes"')
        if (self.identity == "oid") != bool(self.tenant):
            raise ValueError('needs "tenant" if "identity" is "oid", and only then')
        if self.step_up is not None and self.tenant and self.step_up_claim != "acrs":
            raise ValueError('needs "step_up_claim" = "acrs" if "identity" is "oid"')
        return self
