"""Hosts and IP addresses: which are this machine, of which family, and in which network.

A client is counted and limited by its network: its IPv4 address, or the /64 of its IPv6 address,
because one person can use all addresses of a /64.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias
from urllib.parse import SplitResult

Network: TypeAlias = IPv4Network | IPv6Network
_CACHED: Final = 4096
_PREFIX: Final = 64
_AREA_PREFIXES: Final = (32, 48)


def is_loopback(host: str) -> bool:
    """Return whether a host is a loopback address or "localhost", so that it needs no TLS."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_secure(url: SplitResult) -> bool:
    """Return whether requests to an HTTP address have TLS or stay on this machine."""
    return url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or ""))


def host_of_family(hosts: Iterable[str] | None, address: str) -> str | None:
    """Return the first IP address in `hosts` that is of the same family (IPv4, IPv6) as `address`.

    If there is no such address, return the last host name in `hosts`. If there is no host name
    either, or if `hosts` is None, return None.
    """
    named = None
    for host in hosts or ():
        try:
            if ip_address(host).version == ip_address(address).version:
                return host
        except ValueError:
            named = host
    return named


@lru_cache(maxsize=_CACHED)
def network_of(address: str) -> str:
    """Return the /64 of an IPv6 address, the IPv4 address of a mapped one, or else `address`."""
    return _around(address, _PREFIX)


@lru_cache(maxsize=_CACHED)
def areas_of(address: str) -> tuple[str, ...]:
    """Return the /32, /48 and /64 of an unmapped IPv6 address, or else `network_of` three times."""
    return *(_around(address, prefix) for prefix in _AREA_PREFIXES), network_of(address)


def _around(address: str, prefix: int) -> str:
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, prefix), strict=False))
    return str(parsed)
