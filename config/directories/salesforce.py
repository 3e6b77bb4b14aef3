"""The settings of a Salesforce organisation in which callers are looked up."""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from config.directories.base import ExternalDirectorySection
from config.fields import FilePath
from config.section import Section, TlsSection
from config.urls import Url

_MY_DOMAIN = 'the address of My Domain, such as "https://council.my.salesforce.com"'
_FIELD = 'the API name of a field, such as "Name"'
_OLDEST: Final = 61
"""The first version of the API in which a record can be changed but not created."""
_NUMBERS: Final = {
    "Account": ("Phone",),
    "Contact": ("Phone", "MobilePhone", "HomePhone", "OtherPhone"),
    "Lead": ("Phone", "MobilePhone"),
}
"""The fields with telephone numbers that the objects of every organisation have."""


def _my_domain(url: str) -> str:
    url = url.removesuffix("/")
    parts = urlsplit(url)
    if parts.path or parts.query:
        raise ValueError(f"must be {_MY_DOMAIN}")
    return url


def _version(text: str) -> str:
    if int(text.partition(".")[0]) < _OLDEST:
        raise ValueError(f'must be a version of the API from "{_OLDEST}.0"')
    return text


MyDomain: TypeAlias = Annotated[Url, AfterValidator(_my_domain)]
ApiVersion: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{2,3}\.0$"), AfterValidator(_version)]
ApiName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]
FieldName: TypeAlias = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}(\.[A-Za-z][A-Za-z0-9_]{0,79}){0,5}$")
]


class SalesforceFieldsSection(Section):
    """`[directories.fields]`: the fields of a person, by their API names."""

    name: FieldName = Field(default="Name", description=_FIELD)
    numbers: tuple[FieldName, ...] = Field(
        default=(), description='a list of API names of fields, such as ["Phone", "MobilePhone"]'
    )
    language: FieldName | None = Field(default=None, description=_FIELD)
    do_not_pop: FieldName | None = Field(default=None, description=_FIELD)
    details: dict[str, FieldName] = Field(
        default_factory=dict, description='a table, such as { email = "Email" }'
    )


class SalesforceNotesSection(Section):
    """`[directories.contact_notes]`: contact notes are written to this organisation as tasks."""

    external_id: ApiName = Field(
        default="Galwad_Call__c",
        description='the API name of a field of tasks, such as "Galwad_Call__c"',
    )


class SalesforceDirectorySection(ExternalDirectorySection):
    """`[[directories]]` of the kind "salesforce"."""

    kind: Literal["salesforce"] = Field(description='"salesforce"')
    url: MyDomain = Field(description=_MY_DOMAIN)
    client_id: str = Field(
        min_length=1, description="the consumer key of the external client app, in quotes"
    )
    secret_file: FilePath = Field(description="an absolute path of a file with the consumer secret")
    api_version: ApiVersion = Field(
        default="65.0", description='a version of the API, such as "65.0"'
    )
    object: ApiName = Field(
        default="Contact", description='the API name of an object, such as "Contact"'
    )
    fields: SalesforceFieldsSection = Field(
        default=SalesforceFieldsSection(), description='a table, such as { name = "Name" }'
    )
    contact_notes: SalesforceNotesSection | None = Field(
        default=None, description='a table, such as { external_id = "Galwad_Call__c" }'
    )
    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')

    @property
    def target(self) -> str:
        """The method and the address of the requests."""
        return f"POST {self.url}/services/data/v{self.api_version}/parameterizedSearch"

    @property
    def numbers(self) -> tuple[str, ...]:
        """The fields that have telephone numbers."""
        return self.fields.numbers or _NUMBERS[self.object]

    @model_validator(mode="after")
    def _check_numbers(self) -> Self:
        if not self.fields.numbers and self.object not in _NUMBERS:
            raise ValueError(f'needs "fields.numbers" for the object "{self.object}"')
        return self
