"""A directory whose server is asked over LDAP, such as OpenLDAP or Active Directory.

python-ldap is optional, and is imported when a directory is opened. Its library, libldap, blocks.
So each directory has a few threads of its own: a server that hangs cannot use up the threads of
another directory. libldap looks up the host's name without a time limit of its own. The operating
system's resolver gives up, by default after 10 s for each name server.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit
from uuid import NAMESPACE_X500, UUID, uuid5

from pydantic import AfterValidator, Field, model_validator

from callerid.directories.base import ExternalDirectorySection
from callerid.number import PhoneNumber
from callerid.people_mapping import PeopleFields, PeopleMapping
from callerid.person import Person
from callerid.written_numbers import spellings
from config.fields import FilePath, Flag
from config.section import Section
from net.addresses import is_loopback
from net.authentication import read_secret
from net.errors import ServerBusyError, ServerError
from net.json_client import Json

if TYPE_CHECKING:
    from ldap.ldapobject import SimpleLDAPObject

_LDAP_URL = 'the address of an LDAP server, such as "ldaps://dc1.council.example"'
_ADDRESS = re.compile(r"ldaps?://[\w.:\[\]-]+", re.ASCII)
"""Allows only a host and a port. libldap also takes several addresses, a DN and a filter."""
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
LdapEntry: TypeAlias = tuple[str, Mapping[str, Sequence[bytes]]]
"""The DN of an entry, and the values of each attribute."""

_MOST_ENTRIES: Final = 200
"""The most entries that a server is asked for."""
_LARGEST: Final = 1 << 20
"""The most octets of values in all entries of an answer together."""
_BUSY_S: Final = 10.0
"""The seconds for which a busy server is not asked. Its answer does not say how long to wait."""
_EXTENSION_SPELLINGS: Final = ("{}", "ext {}", "x{}")
"""The usual spellings of an internal extension."""
_GUID: Final = "objectguid"
"""The attribute of Active Directory whose 16 octets are an id (MS-DTYP, section 2.3.4)."""
_GUID_OCTETS: Final = 16
_REASONS: Final = {
    "CONNECT_ERROR": "cannot establish TLS with the server",
    "FILTER_ERROR": '"filter" is not an LDAP filter (RFC 4515)',
    "SERVER_DOWN": "cannot connect to the server, or it has ended the connection",
    "TIMEOUT": "no answer in time",
}
"""The texts for usual errors of libldap itself. Most other errors are results from the server."""


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
        default=True, description="true if internal extensions are looked up there, else false"
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

    def open(self) -> LdapDirectory:
        """Return the directory of these settings, as `ExternalDirectorySection.open` says."""
        try:
            python_ldap()
        except ImportError:
            raise ServerError(
                'needs python-ldap: install "galwad[ldap]", as docs/crm/ldap.md says'
            ) from None
        self.tls.context()  # names the file that cannot be used, unlike an error of libldap
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


def python_ldap() -> Any:
    """Return python-ldap, which may be missing (ImportError).

    Its libldap reads no settings from ldap.conf and the environment.
    """
    os.environ["LDAPNOINIT"] = "1"  # libldap reads this once, when it is imported
    import ldap.filter  # noqa: PLC0415 - optional

    return ldap


class LdapDirectory:
    """A directory that is asked over LDAP."""

    def __init__(self, section: LdapDirectorySection) -> None:
        self.name = section.name
        self.has_extensions = section.extensions
        self._section = section
        self._attributes = section.attributes
        self._threads = ThreadPoolExecutor(
            section.concurrency, thread_name_prefix=f"ldap-{section.name}"
        )
        fields = PeopleFields(
            id="id",
            name="name",
            numbers="numbers",
            language="language",
            details={
                label: f"details[{place}]" for place, label in enumerate(section.attributes.details)
            },
        )
        self._mapping = PeopleMapping("@", fields)

    async def find(self, number: PhoneNumber) -> list[Person]:
        """Return the people whom the server finds.

        Raises `ServerBusyError` if the server is busy, or else `ServerError`.
        """
        search = _Search(self._section)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._found, search, number)
        finally:
            # If this is cancelled while the thread connects, the thread continues to its time
            # limit, and a later search may wait for it.
            search.end()

    async def close(self) -> None:
        """End the threads, each after its search."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _found(self, search: _Search, number: PhoneNumber) -> list[Person]:
        return self.people_in(search.run(self.filter_for(number)))

    def filter_for(self, number: PhoneNumber) -> str:
        """Return the search filter (RFC 4515) for a number or an extension, in each spelling."""
        if number.e164:
            attributes, texts = self._attributes.numbers, spellings(number)
        else:
            attributes = self._attributes.extensions
            texts = tuple(each.format(number.extension) for each in _EXTENSION_SPELLINGS)
        escaped = python_ldap().filter.filter_format
        found = "".join(
            escaped("(%s=%s)", (attribute, text)) for attribute in attributes for text in texts
        )
        return f"(&{self._section.filter or ''}(|{found}))"

    def people_in(self, entries: Iterable[LdapEntry]) -> list[Person]:
        """Return the people in the entries of an answer; skip entries that lack what is needed."""
        document: Json = [self._record(dn, _by_name(values)) for dn, values in entries]
        return self._mapping.read(document, self.name)

    def _record(self, dn: str, entry: Mapping[str, Sequence[bytes]]) -> Json:
        wanted = self._attributes
        numbers = dict.fromkeys([*wanted.numbers, *wanted.extensions])
        # A DN has the person's name, which must not be in an id.
        record_id = _first(entry, wanted.id) or str(uuid5(NAMESPACE_X500, dn))
        return {
            "id": record_id,
            "name": _first(entry, wanted.name),
            "numbers": [text for name in numbers for text in _texts(entry, name)],
            # Several languages are in the form of Accept-Language (RFC 2798, section 2.7).
            "language": _first(entry, [wanted.language]).replace(";", ",").partition(",")[0],
            "details": [_first(entry, [name]) for name in wanted.details.values()],
        }


class _Search:
    """A search on a new connection: an old connection might be broken or have an old password."""

    def __init__(self, section: LdapDirectorySection) -> None:
        self._section = section
        self._socket: socket.socket | None = None
        self._ended = False

    def end(self) -> None:
        """End the connection, so that the thread which waits for the server continues."""
        self._ended = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the thread has closed it
                self._socket.shutdown(socket.SHUT_RDWR)

    def run(self, wanted: str) -> list[LdapEntry]:
        """Return the entries that a filter finds.

        Raises `ServerBusyError` if the server is busy, or else `ServerError`.
        """
        ldap, section = python_ldap(), self._section
        password = "" if section.secret_file is None else read_secret(section.secret_file)
        connection = ldap.initialize(section.url)
        try:
            self._prepare(connection)
            if section.start_tls:
                connection.start_tls_s()
            bound = connection.simple_bind(section.user, password)  # connects if not connected
            self._remember(connection)
            connection.result(bound)
            return self._entries(connection, wanted)
        except ldap.LDAPError as error:
            raise _reason(error) from None
        except ServerError:
            raise
        except Exception:  # noqa: BLE001 - python-ldap decodes names and controls with any error
            raise ServerError("the answer is not LDAP that can be read") from None
        finally:
            with contextlib.suppress(ldap.LDAPError):  # the server has ended the connection
                connection.unbind_ext()
            if self._socket is not None:
                self._socket.close()

    def _prepare(self, connection: SimpleLDAPObject) -> None:
        """Set the time limits and the TLS settings of a connection. Raises `ServerError`."""
        ldap = python_ldap()
        connection.set_option(ldap.OPT_NETWORK_TIMEOUT, self._section.timeout)
        connection.set_option(ldap.OPT_TIMEOUT, self._section.timeout)
        # The server that a referral names would get the password and the number.
        connection.set_option(ldap.OPT_REFERRALS, ldap.OPT_OFF)
        connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
        connection.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, ldap.OPT_X_TLS_PROTOCOL_TLS1_2)
        files = self._section.tls
        if files.ca is not None:
            connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(files.ca))
        if files.certificate is not None:
            connection.set_option(ldap.OPT_X_TLS_CERTFILE, str(files.certificate))
            connection.set_option(ldap.OPT_X_TLS_KEYFILE, str(files.key or files.certificate))
        try:
            connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # makes the TLS settings effective
        except (ValueError, ldap.LDAPError):
            raise ServerError("cannot use the TLS files") from None

    def _remember(self, connection: SimpleLDAPObject) -> None:
        """Remember the socket for `end`: within a TLS record, libldap waits without a limit."""
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        if self._ended:
            self.end()

    def _entries(self, connection: SimpleLDAPObject, wanted: str) -> list[LdapEntry]:
        ldap, section = python_ldap(), self._section
        search = connection.search_ext(
            section.base,
            ldap.SCOPE_SUBTREE,
            wanted,
            section.attributes.all,
            timeout=math.ceil(section.timeout),
            sizelimit=_MOST_ENTRIES,
        )
        until = time.monotonic() + section.timeout
        entries: list[LdapEntry] = []
        octets = 0
        # One message at a time. libldap has no limit for the size of a message.
        while (remaining := until - time.monotonic()) > 0:
            kind, messages = connection.result(search, all=0, timeout=remaining)
            if kind == ldap.RES_SEARCH_RESULT:
                return entries
            if kind == ldap.RES_SEARCH_ENTRY:
                entries += messages
                octets += sum(
                    len(value)
                    for _, attributes in messages
                    for values in attributes.values()
                    for value in values
                )
            if len(entries) > _MOST_ENTRIES or octets > _LARGEST:
                raise ServerError("the answer is too large")
        raise ldap.TIMEOUT


def _reason(error: Exception) -> ServerError:
    """Return a `ServerError` for an error of libldap, without any text of the server."""
    ldap = python_ldap()
    # Only errors of libldap itself have a text about the certificate.
    local = isinstance(error, ldap.SERVER_DOWN | ldap.CONNECT_ERROR)
    if local and "certificate" in str(error):
        return ServerError("the server's certificate is not accepted")
    if isinstance(error, ldap.BUSY):
        return ServerBusyError(_BUSY_S)
    name = type(error).__name__
    return ServerError(_REASONS.get(name, f"the search ends with {name}"))


def _by_name(attributes: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
    """Return the values by attribute name. The names are in lower case and without options."""
    found: dict[str, list[bytes]] = {}
    for name, values in attributes.items():
        found.setdefault(name.partition(";")[0].lower(), []).extend(values)
    return found


def _first(entry: Mapping[str, Sequence[bytes]], names: Iterable[str]) -> str:
    """Return the first value of the first of these attributes that has one; "" if none has."""
    return next((text for name in names for text in _texts(entry, name) if text), "")


def _texts(entry: Mapping[str, Sequence[bytes]], name: str) -> Iterator[str]:
    """Yield the values of an attribute that are texts in UTF-8, or ids in `objectGUID`."""
    for value in entry.get(name.lower(), ()):
        if name.lower() == _GUID and len(value) == _GUID_OCTETS:
            yield str(UUID(bytes_le=value))
            continue
        try:
            yield value.decode()
        except UnicodeDecodeError:
            continue
