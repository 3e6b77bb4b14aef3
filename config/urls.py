"""The types of fields that have an address of another system."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

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
