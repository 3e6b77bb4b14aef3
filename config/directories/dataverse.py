"""The settings of a directory in Microsoft Dataverse, the database of Dynamics 365."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import Field

from config.directories.base import ExternalDirectorySection
from config.fields import FilePath
from config.section import Section, TlsSection
from config.urls import Url

Column: TypeAlias = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]{0,127}$")]
Guid: TypeAlias = Annotated[
    str, Field(pattern=r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
]
_COLUMN: Final = 'a column\'s logical name, such as "telephone1"'
_NAMES: Final = {"contacts": "fullname", "accounts": "name"}
_PHONES: Final = {
    "contacts": ("telephone1", "mobilephone", "telephone2", "telephone3"),
    "accounts": ("telephone1", "telephone2", "telephone3"),
}


class DataverseNotesSection(Section):
    """`[directories.contact_notes]`: contact notes become phone calls in Dataverse."""

    purpose_column: Column | None = Field(default=None, description=_COLUMN)


class DataverseSection(ExternalDirectorySection):
    """`[[directories]]` of the kind "dataverse"."""

    kind: Literal["dataverse"] = Field(description='"dataverse"')
    url: Url = Field(
        pattern=r"^[a-z]+://[^/?]+/?$",
        description='an environment\'s address, such as "https://council.crm11.dynamics.com"',
    )
    tenant_id: Guid = Field(description="the directory (tenant) id of the app registration")
    client_id: Guid = Field(description="the application (client) id of the app registration")
    secret_file: FilePath = Field(
        description="an absolute path of a file with the value of the client secret"
    )
    login_url: Url = Field(
        default="https://login.microsoftonline.com",
        pattern=r"^[a-z]+://[^/?]+/?$",
        description='an address without a path, such as "https://login.microsoftonline.com"',
    )
    table: Literal["contacts", "accounts"] = Field(
        default="contacts", description='"contacts" or "accounts"'
    )
    phones: tuple[Column, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=10,
        description='a list of 1 to 10 columns, such as ["telephone1", "mobilephone"]',
    )
    full_name: Column | None = Field(default=None, description=_COLUMN)
    language: Column | None = Field(default=None, description=_COLUMN)
    do_not_pop: Column | None = Field(default=None, description=_COLUMN)
    shared: Column | None = Field(default=None, description=_COLUMN)
    details: dict[str, Column] = Field(
        default_factory=dict, description='a table, such as { postcode = "address1_postalcode" }'
    )
    contact_notes: DataverseNotesSection | None = Field(
        default=None, description='a table, which may have "purpose_column"'
    )
    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')

    @property
    def target(self) -> str:
        """The environment and the table."""
        return f"{self.table} of {self.url}"

    @property
    def phone_columns(self) -> Sequence[str]:
        """The columns with telephone numbers: the usual ones if `phones` is not set."""
        return self.phones or _PHONES[self.table]

    @property
    def name_column(self) -> str:
        """The column with the name: the table's own if `full_name` is not set."""
        return self.full_name or _NAMES[self.table]
