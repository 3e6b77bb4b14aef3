"""The settings of a directory that is asked over HTTP and answers in JSON."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

import jmespath
import jmespath.exceptions
from pydantic import AfterValidator, Field, JsonValue, model_validator

from config.directories.base import URL, DirectoryTls, ExternalDirectorySection, Url
from config.fields import FilePath, Whole
from config.sections import Section

_SECRETS = {"basic": "user", "bearer": "", "oauth2": "client_id"}
"""The setting that each kind of authentication needs besides `secret_file`."""


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError):
        raise ValueError("must be a JMESPath expression (jmespath.org)") from None
    return text


HeaderText: TypeAlias = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")]
HeaderFieldName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Expression: TypeAlias = Annotated[str, AfterValidator(_expression)]
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
    tls: DirectoryTls = Field(default=DirectoryTls(), description='a table with "ca"')

    @property
    def target(self) -> str:
        """The method and the address of the requests."""
        return f"{self.method} {self.url}"
