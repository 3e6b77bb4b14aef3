"""The addresses to which a peer may direct media.

Without a check, an SDP could direct our packets to this machine's own programs, to a network's
broadcast address, or back to our own media ports in a loop. A third party's address cannot be
refused, because the media of many PBXs comes from another host than their signalling;
`telephony.aio.relay.Relay.await_peer` protects third parties.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from telephony.errors import SdpParseError
from telephony.sdp.media import ip_literal


def check_media_address(host: str, signalling_host: str, own_host: str) -> None:
    """Check that media may be sent to `host`, an IP literal in a peer's SDP.

    Loopback is allowed only if the peer is on this machine: its signalling (`signalling_host`, ""
    if unknown) came from loopback or from our own address in the SDP. The unspecified address is
    allowed: it means a hold, and nothing is ever sent to it.

    Raises:
        SdpParseError: Status 488; no media may be sent to this address.
    """
    address = _address(host)
    if address.is_unspecified:
        return
    if address.is_loopback:
        if signalling_host != own_host and not _is_loopback(signalling_host):
            raise SdpParseError("the peer's media address is loopback, but not the peer", 488)
    elif address.is_multicast or address.is_reserved or _is_this_network(address):
        raise SdpParseError("the peer's media address is not a unicast address", 488)


def _address(host: str) -> IPv4Address | IPv6Address:
    address = ip_literal(host)
    return getattr(address, "ipv4_mapped", None) or address


def _is_loopback(host: str) -> bool:
    return bool(host) and _address(host).is_loopback


def _is_this_network(address: IPv4Address | IPv6Address) -> bool:
    """Return whether the address is in 0.0.0.0/8, which names no host (RFC 1122)."""
    return address.version == 4 and address.packed[0] == 0
