"""The settings of a directory that is asked over HTTP and answers in JSON."""

from __future__ import annotations

import json
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import jmespath
import jmespath.exceptions
from pydantic import AfterValidator, Field, JsonValue, model_validator

from config.directories.base import ExternalDirectorySection
from config.fields import FilePath, Flag, Whole
from config.section import Section, TlsSection
from config.urls import URL, Url

_SECRETS = {"basic": "user", "bearer": "", "oauth2": "client_id"}
"""The setting that each kind of authentication needs besides `secret_file`."""
_OWN_ADDRESS = ("{note_id}", "{call_id}", "{record_id}")
"""The placeholders with which each note has an address of its own."""


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError):
        raise ValueError("must be a JMESPath expression (jmespath.org)") from None
    return text


HeaderText: TypeAlias = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
HeaderFieldName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Expression: TypeAlias = Annotated[str, AfterValidator(_expression)]
_PERSON = "{id}"
_PATH = 'a JMESPath expression, such as "fullname"'


class DirectoryAuthentication(Section):
    """`[directories.authentication]`: how Galwad proves to the directory's server who it is."""

    kind: Literal["basic", "bearer", "oauth2"] = Field(description='"basic", "bearer" or "oauth2"')
    user: str = Field(default="", description='the user name for "basic", in quotes')
    secret_file: FilePath = Field(
        description="an absolute path of a file with the password, the token or the client's secret"
    )
    scheme: HeaderFieldName = Field(
        default="Bearer", description='the word before the token for "bearer", such as "token"'
    )
    client_id: str = Field(default="", description='the client id for "oauth2", in quotes')
    token_url: Url | None = Field(default=None, description=URL)
    scope: str = Field(default="", description='the scope for "oauth2", in quotes')

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        needed = _SECRETS[self.kind]
        if needed and not getattr(self, needed):
            raise ValueError(f'needs "{needed}" for the kind "{self.kind}"')
        if self.kind == "oauth2" and self.token_url is None:
            raise ValueError('needs "token_url" for the kind "oauth2"')
        return self


class DirectoryFields(Section):
    """`[directories.fields]`: where each person in an answer has an id, a name and numbers."""

    id: Expression = Field(description=_PATH)
    name: Expression = Field(description=_PATH)
    numbers: Expression = Field(description='a JMESPath expression, such as "[phone, mobile]"')
    language: Expression | None = Field(default=None, description=_PATH)
    kind: Expression | None = Field(default=None, description=_PATH)
    shared: Expression | None = Field(default=None, description=_PATH)
    do_not_pop: Expression | None = Field(default=None, description=_PATH)
    details: dict[str, Expression] = Field(
        default_factory=dict, description='a table, such as { address = "address.line1" }'
    )


class HttpSearchSection(Section):
    """`[directories.search]`: the request that searches by a text, such as a name."""

    url: Url = Field(description=URL)
    method: Literal["GET", "POST"] = Field(default="GET", description='"GET" or "POST"')
    query: dict[str, JsonValue] = Field(
        default_factory=dict, description='a table, such as { name = "{text}" }'
    )
    body: JsonValue = Field(
        default=None, description='a table or a list, such as { name = "{text}" }'
    )


class HttpContactFields(Section):
    """`[directories.earlier_contacts.fields]`: where each contact in an answer has what."""

    time: Expression = Field(description='a JMESPath expression, such as "Created"')
    subject: Expression = Field(description='a JMESPath expression, such as "Subject"')
    person: Expression | None = Field(
        default=None, description='a JMESPath expression, such as "Requestor[].id"'
    )
    outcome: Expression | None = Field(default=None, description=_PATH)
    text: Expression | None = Field(default=None, description=_PATH)
    id: Expression | None = Field(default=None, description=_PATH)


class HttpContactsSection(Section):
    """`[directories.earlier_contacts]`: the request for the earlier contacts of a person."""

    url: Url = Field(description=URL)
    method: Literal["GET", "POST"] = Field(default="GET", description='"GET" or "POST"')
    query: dict[str, JsonValue] = Field(
        default_factory=dict, description='a table, such as { person = "{id}" }'
    )
    headers: dict[HeaderFieldName, HeaderText] = Field(
        default_factory=dict, description='a table, such as { Prefer = "return=minimal" }'
    )
    body: JsonValue = Field(
        default=None, description='a table or a list, such as { person = "{id}" }'
    )
    contacts: Expression = Field(description='a JMESPath expression, such as "items"')
    fields: HttpContactFields = Field(description='a table with "time" and "subject"')

    @model_validator(mode="after")
    def _check_person(self) -> Self:
        in_path = _PERSON in urlsplit(self.url).path
        if _PERSON not in self.url + json.dumps([self.query, self.body]):
            raise ValueError(
                f'needs {_PERSON}, the id of the person\'s record, in "url", "query" or "body": '
                "otherwise the contacts of all people would be requested"
            )
        if not in_path and self.fields.person is None:
            raise ValueError(
                'needs "fields.person", where a contact has the id of its person: a server that '
                "ignores the condition would otherwise show the contacts of other people"
            )
        return self


class NoteRequestSection(Section):
    """A request that writes a contact note."""

    url: Url = Field(description=URL)
    method: Literal["POST", "PUT", "PATCH"] = Field(
        default="POST", description='"POST", "PUT" or "PATCH"'
    )
    headers: dict[HeaderFieldName, HeaderText] = Field(
        default_factory=dict, description='a table, such as { Prefer = "return=minimal" }'
    )
    body: JsonValue = Field(description='a table or a list, such as { text = "{text}" }')

    @property
    def is_repeatable(self) -> bool:
        """True if the server has one record for each address, so a repeated request does no harm.

        This is so for PUT (RFC 9110, section 9.2.2) if the address has the id of the note.
        """
        return self.method == "PUT" and any(name in self.url for name in _OWN_ADDRESS)


class NoteSearchSection(Section):
    """`find`: a request that searches for a contact note."""

    url: Url = Field(description=URL)
    method: Literal["GET", "POST"] = Field(default="GET", description='"GET" or "POST"')
    headers: dict[HeaderFieldName, HeaderText] = Field(
        default_factory=dict, description='a table, such as { Prefer = "return=minimal" }'
    )
    query: dict[str, JsonValue] = Field(
        default_factory=dict, description='a table, such as { text = "{call_id}" }'
    )
    body: JsonValue = Field(
        default=None, description='a table or a list, such as { text = "{call_id}" }'
    )
    records: Expression = Field(description='a JMESPath expression, such as "items"')
    id: Expression = Field(default="id", description=_PATH)
    text: Expression = Field(description='a JMESPath expression, such as "subject"')


class NoteChangeSection(NoteRequestSection):
    """`[directories.contact_notes.change]`: the request that writes a later version of a note."""

    idempotent: Flag = Field(
        default=False, description="true if the server ignores a repeated request, else false"
    )
    find: NoteSearchSection | None = Field(default=None, description='a table with "url"')


class HttpNotesSection(NoteRequestSection):
    """`[directories.contact_notes]`: the requests that write contact notes."""

    record_id: Expression | None = Field(default=None, description=_PATH)
    idempotent: Flag = Field(
        default=False, description="true if the server ignores a repeated request, else false"
    )
    find: NoteSearchSection | None = Field(default=None, description='a table with "url"')
    change: NoteChangeSection | None = Field(
        default=None, description='a table with "url" and "body"'
    )

    @model_validator(mode="after")
    def _check_repetition(self) -> Self:
        if not (self.is_repeatable or self.idempotent or self.find):
            raise ValueError(
                'needs the table "find", or "idempotent = true" if the server ignores a repeated '
                "request: otherwise a note could be written twice"
            )
        if self.change is None:
            if not self.is_repeatable:
                raise ValueError('needs the table "change" for later versions of a note')
        elif not (self.change.is_repeatable or self.change.idempotent or self.change.find):
            raise ValueError(
                'needs the table "change.find", or "change.idempotent = true" if the server '
                "ignores a repeated request: otherwise a version could be written twice"
            )
        needs_id = self.change is not None and "{record_id}" in self.change.url
        if needs_id and self.record_id is None:
            raise ValueError('needs "record_id", because the address of "change" has {record_id}')
        return self


class HttpDirectorySection(ExternalDirectorySection):
    """`[[directories]]` of the kind "http"."""

    kind: Literal["http"] = Field(description='"http"')
    url: Url = Field(description=URL)
    method: Literal["GET", "POST"] = Field(default="GET", description='"GET" or "POST"')
    query: dict[str, JsonValue] = Field(
        default_factory=dict, description='a table, such as { phone = "{e164}" }'
    )
    headers: dict[HeaderFieldName, HeaderText] = Field(
        default_factory=dict, description='a table, such as { Prefer = "return=minimal" }'
    )
    body: JsonValue = Field(
        default=None, description='a table or a list, such as { phones = "{spellings}" }'
    )
    people: Expression = Field(description='a JMESPath expression, such as "items"')
    next_page: Expression | None = Field(
        default=None, description='a JMESPath expression, such as "links.next"'
    )
    not_found: tuple[Annotated[Whole, Field(ge=400, le=499)], ...] = Field(
        default=(404,), description="a list of status codes from 400 to 499, such as [404]"
    )
    fields: DirectoryFields = Field(description='a table with "id", "name" and "numbers"')
    authentication: DirectoryAuthentication | None = Field(
        default=None, description='a table with "kind" and "secret_file"'
    )
    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')

    search: HttpSearchSection | None = Field(default=None, description='a table with "url"')
    earlier_contacts: HttpContactsSection | None = Field(
        default=None, description='a table with "url", "contacts" and "fields"'
    )
    contact_notes: HttpNotesSection | None = Field(
        default=None, description='a table with "url" and "body"'
    )

    @property
    def target(self) -> str:
        """The method and the address of the requests."""
        return f"{self.method} {self.url}"
