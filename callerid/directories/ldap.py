"""The settings of a directory that is asked over LDAP, such as OpenLDAP or Active Directory.

The source is in `callerid.directories.ldap_source`, because python-ldap is optional.
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from callerid.directories.base import ExternalDirectorySection
from callerid.source import DirectorySource
from config.fields import FilePath, Flag
from config.section import Section, TlsSection
from net.addresses import is_loopback
from net.errors import ServerError

_LDAP_URL = 'the address of an LDAP server, such as "ldaps://dc1.council.example"'
_ADDRESS = re.compile(r"ldaps?://[\w.:\[\]-]+", re.ASCII)
"""Only a host and a port: libldap also takes several addresses, a DN and a filter."""
_FILTER = 'an LDAP filter, such as "(objectClass=person)"'


def _ldap_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"must be {_LDAP_URL}") from None
    if not _ADDRESS.fullmatch(text) or not host or port == 0:
        raise ValueError(f"must be {_LDAP_URL}")
    return text


def _filter(text: str) -> str:
    # Brackets in values are written as \28 and \29, so every bracket belongs to the structure.
    depths = [*accumulate({"(": 1, ")": -1}.get(each, 0) for each in text)]
    if not text.startswith("(") or depths[-1] or min(depths[:-1]) < 1:
        raise ValueError(f"must be {_FILTER}, with balanced brackets")
    return text


_NAME = 'the name of an attribute, such as "mail"'
_NAMES = 'a list of names of attributes, such as ["telephoneNumber", "mobile"]'
AttributeName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
AttributeNames: TypeAlias = Annotated[tuple[AttributeName, ...], Field(min_length=1)]


class LdapAttributesSection(Section):
    """`[directories.attributes]`: the attributes of a person's entry.

    Of `id` and `name`, the first attribute that an entry has is used.
    """

    id: AttributeNames = Field(default=("entryUUID", "objectGUID"), description=_NAMES)
    name: AttributeNames = Field(default=("displayName", "cn"), description=_NAMES)
    numbers: AttributeNames = Field(default=("telephoneNumber", "mobile"), description=_NAMES)
    extensions: AttributeNames = Field(default=("ipPhone", "telephoneNumber"), description=_NAMES)
    language: AttributeName = Field(default="preferredLanguage", description=_NAME)
    details: dict[str, AttributeName] = Field(
        default_factory=dict, description='a table, such as { email = "mail" }'
    )

    @property
    def all(self) -> list[str]:
        """The name of each attribute, only once."""
        people = (*self.id, *self.name, *self.numbers, *self.extensions)
        return list(dict.fromkeys([*people, self.language, *self.details.values()]))


class LdapDirectorySection(ExternalDirectorySection):
    """`[[directories]]` of the kind "ldap"."""

    kind: Literal["ldap"] = Field(description='"ldap"')
    extensions: Flag = Field(
        default=True, description="true if it can be searched by internal extensions, else false"
    )
    url: Annotated[str, AfterValidator(_ldap_url)] = Field(description=_LDAP_URL)
    start_tls: Flag = Field(
        default=False, description='true if TLS begins on the port of "ldap://", else false'
    )
    base: str = Field(
        min_length=1, description='the DN where the search begins, such as "ou=People,dc=council"'
    )
    user: str = Field(default="", description="the DN of Galwad's account, in quotes")
    secret_file: FilePath | None = Field(
        default=None, description="an absolute path of a file with the password"
    )
    filter: Annotated[str, AfterValidator(_filter)] | None = Field(
        default=None, description=_FILTER
    )
    attributes: LdapAttributesSection = Field(
        default=LdapAttributesSection(), description='a table, such as { name = ["cn"] }'
    )
    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')

    @property
    def target(self) -> str:
        """The address of the server and the DN where the search begins."""
        return f"{self.url} {self.base}"

    @property
    def host(self) -> str:
        """The name or address of the server."""
        return urlsplit(self.url).hostname or ""

    @property
    def has_tls(self) -> bool:
        """True if the connection has TLS."""
        return self.start_tls or self.url.startswith("ldaps:")

    def open(self) -> DirectorySource:
        """Return the directory of these settings, as `ExternalDirectorySection.open` says."""
        try:
            from callerid.directories.ldap_source import (  # noqa: PLC0415 - optional
                LdapDirectory,
            )
        except ImportError:
            raise ServerError(
                'needs python-ldap: install "galwad[ldap]", as docs/crm/ldap.md says'
            ) from None
        self.tls.context()  # names a file that cannot be used; libldap does not
        return LdapDirectory(self)

    @model_validator(mode="after")
    def _check_protection(self) -> Self:
        if bool(self.user) != (self.secret_file is not None):
            raise ValueError('needs both "user" and "secret_file", or neither')
        if self.start_tls and self.url.startswith("ldaps:"):
            raise ValueError('has TLS already by "ldaps://": remove "start_tls"')
        # Without TLS, others on the network could read the password and the callers' numbers.
        if not (self.has_tls or is_loopback(self.host)):
            raise ValueError('needs an address with "ldaps://", or "start_tls = true"')
        return self
