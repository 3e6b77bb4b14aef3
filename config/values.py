"""The classes of values inside settings, such as ranges and patterns, and types of HTTP addresses.

Each class reads its value from text with `parse`. If the text is not valid, `parse` raises
ValueError. The message begins with "must …", because the name of the setting is put before it.
The message never repeats the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Annotated, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

from net.addresses import Network, is_loopback, is_secure

URL = 'an address that begins with "https://", such as "https://crm.example/api/people"'
PAGE = 'an address with {id}, such as "https://crm.example/contact/{id}"'
_PAGE = re.compile(r"[!-~]*")


def _secure(text: str, expected: str) -> SplitResult:
    """Return the parts of an address that has TLS or is on this machine; else raise ValueError."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"must be {expected}") from None
    # Without TLS, others on the network could read the callers' numbers.
    fixed = "{" not in parts.netloc  # a placeholder must not choose the server
    if not (host and is_secure(parts) and fixed) or parts.username is not None:
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


_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:/\s]+)):(?P<port>\d{1,5})")
_BRACKETED = re.compile(r"\[(?P<host>[^\]]+)\](?::(?P<port>\d{1,5}))?")
_HIGHEST_PORT = 65535
_ip_address = lru_cache(maxsize=1024)(ip_address)
"""`ip_address` with a cache, because many messages come from the same addresses."""


def _port(text: str) -> int:
    port = int(text)
    if port > _HIGHEST_PORT:
        raise ValueError(f"must have a port of at most {_HIGHEST_PORT}")
    return port


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host and a port, written `HOST:PORT`. An IPv6 address is in square brackets."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """Read a text such as `127.0.0.1:8443`, `[::1]:8443` or `name:8443`."""
        match = _HOST_PORT.fullmatch(text)
        if match is None:
            raise ValueError('must be "HOST:PORT", such as "127.0.0.1:8443" or "[::1]:8443"')
        return cls(match["v6"] or match["host"], _port(match["port"]))

    @property
    def loopback(self) -> bool:
        """True if only this machine itself can reach the address."""
        return is_loopback(self.host)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listener:
    """An address on which SIP messages are received, such as `udp:192.0.2.10:5060`.

    It is written as `udp:`, `tcp:` or `tls:`, then the IP address, `:` and the port. Port 0 means
    that the system chooses a free port.
    """

    transport: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listener:
        """Read a text such as `udp:192.0.2.10:5060` or `tcp:[2001:db8::10]:5060`."""
        transport, _, rest = text.partition(":")
        try:
            place = HostPort.parse(rest)
            ip_address(place.host)
        except ValueError:
            transport = ""
            place = HostPort("", 0)
        if transport not in {"udp", "tcp", "tls"}:
            raise ValueError(
                'must be "udp:ADDRESS:PORT", or tcp: or tls:, such as "udp:192.0.2.10:5060"'
            )
        return cls(transport, place.host, place.port)

    def __str__(self) -> str:
        return f"{self.transport}:{HostPort(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Peer:
    """The IP addresses (a network) and the port from which a trunk sends.

    `port` is None if the trunk may send from any port.
    """

    network: Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Read an IP address or a network, with or without a port.

        Examples are `192.0.2.1`, `192.0.2.0/24`, `192.0.2.1:5060` and `[2001:db8::1]:5060`.
        """
        host, port = text, None
        if match := _BRACKETED.fullmatch(text):
            host, port = match["host"], match["port"]
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        try:
            return cls(ip_network(host), _port(port) if port else None)
        except ValueError:
            raise ValueError(
                'must be an address or a network, such as "192.0.2.1", "192.0.2.0/24" or '
                '"192.0.2.1:5060"'
            ) from None

    @property
    def is_single_address(self) -> bool:
        """True if `network` contains only one address."""
        return self.network.num_addresses == 1

    def matches(self, host: str, port: int | None) -> bool:
        """Return whether a message from this IP address and port comes from the peer.

        If `port` is None, only the IP address is compared: a connection over TCP or TLS may come
        from any port. If `host` is not an IP address, the result is False.
        """
        try:
            address = _ip_address(host)
        except ValueError:
            return False
        return address in self.network and (port is None or self.port in {None, port})

    def __str__(self) -> str:
        text = str(self.network)
        return text if self.port is None else f"{text}:{self.port}"


@dataclass(frozen=True, slots=True)
class PortRange:
    """The UDP ports for media, from `first` to `last`, both included.

    RTP uses the even ports. RTCP uses the odd port after each even port.
    """

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """Read a text such as `20000-21999`.

        The first port must be even and the last port odd, so that the range consists of pairs of an
        RTP port and an RTCP port.
        """
        match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
        first, last = (int(match[1]), int(match[2])) if match else (1, 0)
        if first % 2 or not last % 2 or not 1024 <= first < last <= _HIGHEST_PORT:
            raise ValueError(
                'must be "FIRST-LAST" within 1024-65535, FIRST even and LAST odd, '
                'such as "20000-21999"'
            )
        return cls(first, last)

    @property
    def calls(self) -> int:
        """The number of calls at the same time for which this range has enough ports.

        A call has two legs, and each leg needs two ports.
        """
        return (self.last - self.first + 1) // 4

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern for a called number, or for a party such as the target of a transfer.

    A pattern has one of four forms: an exact text; a prefix followed by `*`; only `*`, which
    matches every text; or a regular expression between slashes, which must match the whole text.
    An exact text or a prefix may begin with stars, as feature codes do: `*97` matches only this
    code, and `**` matches every code that begins with a star.
    """

    text: str
    _expression: re.Pattern[str]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read a text such as `01970000000`, `0197*`, `*`, `*97` or `/2[0-9]{2}/`."""
        if len(text) > 2 and text[0] == text[-1] == "/":
            try:
                return cls(text, re.compile(text[1:-1]))
            except re.error:
                raise ValueError(
                    "must have a valid regular expression between the slashes"
                ) from None
        body = text.removesuffix("*")
        if not text or "*" in body.lstrip("*") or any(letter.isspace() for letter in text):
            raise ValueError(
                'must be exact ("01970000000", "*97"), a prefix ("0197*"), everything ("*") or a '
                'regular expression between slashes ("/2[0-9]{2}/")'
            )
        return cls(text, re.compile(re.escape(body) + (".*" if text.endswith("*") else "")))

    def matches(self, value: str) -> bool:
        """Return whether the pattern matches the whole of `value`."""
        return self._expression.fullmatch(value) is not None

    def __str__(self) -> str:
        return self.text
