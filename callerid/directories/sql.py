"""The settings of a directory in a view of a database, and of a table for contact notes.

The source and the destination are in `callerid.directories.sql_source`, which imports SQLAlchemy.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from callerid.directories.base import ExternalDirectorySection
from callerid.note import NoteDestination
from callerid.source import DirectorySource
from config.fields import FilePath
from config.section import Section, TlsSection
from net.addresses import is_loopback

_ADDRESS = 'an address such as "postgresql+asyncpg://galwad@db.example/crm"'
_SERVER = re.compile(
    r"(?:postgresql\+asyncpg|mssql\+aioodbc)://[A-Za-z0-9._~%-]+(?P<password>:[^@]*)?"
    r"@(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?/[A-Za-z0-9._~%-]+"
    r"(?P<query>\?driver=[A-Za-z0-9+]+&Encrypt=(?:yes|strict))?"
)
_FILE = re.compile(r"sqlite\+aiosqlite:///(?P<path>/[^?#]+)")


def _address(text: str) -> str:
    server = _SERVER.fullmatch(text)
    if server is not None and server["password"] is not None:
        raise ValueError('must have no password: write it into a file, and name it "password_file"')
    if server is not None and text.startswith("mssql") != (server["query"] is not None):
        raise ValueError('must end with "?driver=…&Encrypt=yes" for mssql, and only for mssql')
    if server is None and _FILE.fullmatch(text) is None:
        raise ValueError(f"must be {_ADDRESS}")
    return text


Address: TypeAlias = Annotated[str, AfterValidator(_address)]
Column: TypeAlias = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
View: TypeAlias = Annotated[
    str, Field(pattern=r"^([^.\x00-\x1f\x7f]{1,128}\.)?[^.\x00-\x1f\x7f]{1,128}$")
]
_COLUMN = "the name of a column, in quotes"


class SqlColumns(Section):
    """`[directories.columns]`: the columns of the view, as the database writes their names."""

    id: Column = Field(description=_COLUMN)
    name: Column = Field(description=_COLUMN)
    numbers: tuple[Column, ...] = Field(
        min_length=1, max_length=10, description='a list of 1 to 10 columns, such as ["phone"]'
    )
    language: Column | None = Field(default=None, description=_COLUMN)
    kind: Column | None = Field(default=None, description=_COLUMN)
    shared: Column | None = Field(default=None, description=_COLUMN)
    do_not_pop: Column | None = Field(default=None, description=_COLUMN)
    details: dict[str, Column] = Field(
        default_factory=dict, description='a table, such as { address = "address_line" }'
    )


class SqlNotesSection(Section):
    """`[directories.contact_notes]`: the table to which contact notes are added."""

    table: View = Field(description='a table, such as "galwad.notes"')
    user: str | None = Field(default=None, min_length=1, description="a user name, in quotes")
    password_file: FilePath | None = Field(
        default=None, description="an absolute path of a file with the password of this user"
    )

    @model_validator(mode="after")
    def _check_user(self) -> Self:
        if (self.user is None) != (self.password_file is None):
            raise ValueError('needs both "user" and "password_file", or neither')
        return self


class SqlDirectorySection(ExternalDirectorySection):
    """`[[directories]]` of the kind "sql"."""

    kind: Literal["sql"] = Field(description='"sql"')
    url: Address = Field(description=_ADDRESS)
    password_file: FilePath | None = Field(
        default=None, description="an absolute path of a file with the password"
    )
    view: View = Field(description='a view or table, such as "crm.callers"')
    columns: SqlColumns = Field(description='a table with "id", "name" and "numbers"')
    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')
    contact_notes: SqlNotesSection | None = Field(default=None, description='a table with "table"')

    @property
    def host(self) -> str:
        """The host of the database; "" for a file."""
        server = _SERVER.fullmatch(self.url)
        return server["host"].strip("[]") if server is not None else ""

    @property
    def target(self) -> str:
        """The view, and the host or the file of the database."""
        where = self.host or self.url.partition("///")[2]
        return f"SELECT … FROM {self.view} at {where}"  # noqa: S608 - it is only shown

    @property
    def has_tls(self) -> bool:
        """True if Galwad encrypts the connection: to this machine, only if "tls" is set."""
        postgresql = self.url.startswith("postgresql")
        return postgresql and not (is_loopback(self.host) and self.tls == TlsSection())

    def open(self) -> DirectorySource:
        """Return the directory of these settings, as `ExternalDirectorySection.open` says."""
        from callerid.directories.sql_source import (  # noqa: PLC0415 - heavy
            SqlDirectory,
            read_database,
        )

        return SqlDirectory(self, read_database(self))

    def open_notes(self, zone: tzinfo | None = None) -> NoteDestination | None:
        """Return the destination of contact notes, as `ExternalDirectorySection` says."""
        del zone
        if self.contact_notes is None:
            return None
        from callerid.directories.sql_source import (  # noqa: PLC0415 - heavy
            SqlNotes,
            notes_database,
        )

        database = notes_database(self, self.contact_notes)
        return SqlNotes(self.name, self.contact_notes, database)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if self.tls != TlsSection() and not self.url.startswith("postgresql"):
            raise ValueError('can have "tls" only for postgresql')
        return self
