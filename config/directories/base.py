"""The settings that every kind of `[[directories]]` has, and the types of their fields."""

from __future__ import annotations

import re
from abc import abstractmethod
from ipaddress import ip_address
from typing import Annotated, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from config.fields import FilePath, Flag, Number, Whole
from config.sections import Section

URL = 'an address that begins with "https://", such as "https://crm.example/api/people"'
PAGE = 'an address with {id}, such as "https://crm.example/contact/{id}"'
_PAGE = re.compile(r"[!-~]*")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, so that a connection to it needs no TLS."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _secure(text: str, expected: str) -> SplitResult:
    """Return the parts of an address with TLS or of this machine, or raise ValueError."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"must be {expected}") from None
    # Without TLS, others on the network could read the callers' numbers.
    fixed = "{" not in parts.netloc  # a placeholder must not choose the server
    secure = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not (host and secure and fixed) or parts.username is not None:
        raise ValueError(f"must be {expected}")
    return parts


def _url(text: str) -> str:
    if _secure(text, URL).fragment:
        raise ValueError(f"must be {URL}")
    return text


def _page(text: str) -> str:
    _secure(text, PAGE)
    around = text.split("{id}")
    whole = _PAGE.fullmatch(text) and not any(set(part) & set("{}\\") for part in around)
    if len(around) == 1 or not whole:
        raise ValueError(f"must be {PAGE}")
    return text


Url: TypeAlias = Annotated[str, AfterValidator(_url)]
PageTemplate: TypeAlias = Annotated[str, AfterValidator(_page)]


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


class ExternalDirectorySection(Section):
    """The settings that every kind of `[[directories]]` has."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description='1 to 32 lower-case letters, digits and hyphens, such as "crm"',
    )
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

    page: PageTemplate | None = Field(default=None, description=PAGE)
    page_before_confirmation: Flag = Field(
        default=False, description="true if advisors may open the page at once, otherwise false"
    )

    @property
    def takes_notes(self) -> bool:
        """True if contact notes are delivered to this system."""
        return getattr(self, "contact_notes", None) is not None

    @property
    @abstractmethod
    def target(self) -> str:
        """The server and the form of its requests, as `galwad directory test` shows them."""

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if self.name == "directory":
            raise ValueError('needs another "name": "directory" is Galwad\'s own directory')
        return self

    @model_validator(mode="after")
    def _check_page(self) -> Self:
        if self.page_before_confirmation and self.page is None:
            raise ValueError('needs "page" for "page_before_confirmation"')
        return self
