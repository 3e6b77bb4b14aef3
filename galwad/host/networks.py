"""The network of a client's address: the unit in which the desk counts and limits strangers.

A client with an IPv6 address normally owns a whole /64 and can use any address in it, so its
network is the /64. The network of an IPv4 address is the address itself.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_CACHED = 4096
_PREFIX = 64
_AREA_PREFIXES = (32, 48)


@lru_cache(maxsize=_CACHED)
def network_of(address: str) -> str:
    """Return the network of `address`; an address that is not valid is its own network."""
    return _around(address, _PREFIX)


@lru_cache(maxsize=_CACHED)
def areas_of(address: str) -> tuple[str, ...]:
    """Return the /32, the /48 and the /64 of an IPv6 address; the address itself for each else."""
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
