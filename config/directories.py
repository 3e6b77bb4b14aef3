"""The settings of `[[directories]]`: systems such as a CRM in which callers are looked up.

The directory that Galwad itself has (`galwad directory import`) needs no settings.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

import jmespath
import jmespath.exceptions
from pydantic import AfterValidator, Field, JsonValue, model_validator

from config.fields import FilePath, Flag, Number, Whole
from config.sections import Section

_URL = 'an address that begins with "https://", such as "https://crm.example/api/people"'
_SECRETS = {"basic": "user", "bearer": "", "oauth2": "client_id"}
"""The setting that each kind of authentication needs besides `secret_file`."""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"must be {_URL}") from None
    # Without TLS, others on the network could read the callers' numbers.
    secure = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not (host and secure) or parts.username is not None or parts.fragment:
        raise ValueError(f"must be {_URL}")
    return text


def _expression(text: str) -> str:
    try:
        jmespath.compile(text)
    except (jmespath.exceptions.JMESPathError, RecursionError, ValueError):
        raise ValueError("must be a JMESPath expression (jmespath.org)") from None
    return text


Url: TypeAlias = Annotated[str, AfterValidator(_url)]
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
    token_url: Url | None = Field(default=None, description=_URL)
    scope: str = Field(default="", description='the scope for "oauth2", in quotes')

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        needed = _SECRETS[self.kind]
        if needed and not getattr(self, needed):
            raise ValueError(f'needs "{needed}" for the kind "{self.kind}"')
        if self.kind == "oauth2" and self.token_url is None:
            raise ValueError('needs "token_url" for the kind "oauth2"')
        return self


class DirectoryTls(Section):
    """`[directories.tls]`: the certificates, if the operating system's are not enough."""

    ca: FilePath | None = Field(
        default=None, description="an absolute path of the authority's certificates (PEM)"
    )
    certificate: FilePath | None = Field(
        default=None, description="an absolute path of Galwad's certificate (PEM)"
    )
    key: FilePath | None = Field(
        default=None, description="an absolute path of the certificate's private key (PEM)"
    )

    @model_validator(mode="after")
    def _check_pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError('needs both "certificate" and "key", or neither')
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


class ExternalDirectory(Section):
    """`[[directories]]`: a system that is asked over HTTP and answers in JSON."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description='1 to 32 lower-case letters, digits and hyphens, such as "crm"',
    )
    kind: Literal["http"] = Field(description='"http"')
    url: Url = Field(description=_URL)
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
    extensions: Flag = Field(
        default=False, description="true if it can be searched by internal extensions, else false"
    )
    concurrency: Whole = Field(default=4, ge=1, le=50, description="a whole number from 1 to 50")
    timeout: Number = Field(
        default=8.0, ge=0.1, le=9.0, description="a number of seconds from 0.1 to 9"
    )
    keep_found: Number = Field(
        default=300.0, ge=0, le=3600, description="a number of seconds from 0 to 3600"
    )
    keep_not_found: Number = Field(
        default=60.0, ge=0, le=3600, description="a number of seconds from 0 to 3600"
    )

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name == "directory":
            raise ValueError('needs another "name": "directory" is Galwad\'s own directory')
        return self
