"""IP addresses as text, with a cache: the messages of a call have the same few again and again."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


@lru_cache(maxsize=1024)
def ip_literal(text: str) -> IPv4Address | IPv6Address:
    """Return the IP address in `text`; an IPv6 address must be without brackets.

    Raises:
        ValueError: `text` is not an IP address.
    """
    return ip_address(text)
