"""The settings of the switch: SIP, media, and the trunks, phones, routes and destinations."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, SecretStr, model_validator

from config.fields import (
    Extension,
    FilePath,
    Flag,
    Hosts,
    IpAddresses,
    Number,
    SipUri,
    SipUris,
    Whole,
    parse_with,
)
from config.section import Section
from config.values import Listener, Pattern, Peer, PortRange

TransportName: TypeAlias = Literal["udp", "tcp", "tls"]
SourceRule: TypeAlias = Literal["symmetric", "latch", "sdp-host"]
SrtpRule: TypeAlias = Literal["off", "optional", "required"]
OwnSource: TypeAlias = Annotated[
    SourceRule | None,
    Field(description='"symmetric", "latch" or "sdp-host"; leave it out to use the one in [media]'),
]
OwnSrtp: TypeAlias = Annotated[
    SrtpRule | None,
    Field(description='"off", "optional" or "required"; leave it out to use the one in [media]'),
]
OptionsInterval: TypeAlias = Annotated[
    Number,
    Field(ge=0, le=3600, description="a number of seconds up to 3600, or 0 to send no OPTIONS"),
]
DestinationClassName: TypeAlias = Literal["centre", "department", "external", "payment"]
HeaderName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
RingTone: TypeAlias = Annotated[
    str, Field(pattern=r"^(urn:alert:[A-Za-z0-9:._-]{1,64}|[A-Za-z0-9][A-Za-z0-9 ._-]{0,63})$")
]
EmergencyNumber: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{2,15}$")]
_ANSWERING = re.compile("answer|intercom", re.IGNORECASE)
_ALERTING = ("alert-info", "call-info", "answer-mode", "priv-answer-mode", "p-auto-answer")


class SipSection(Section):
    """`[sip]`: our addresses for SIP, and the times and limits of signalling.

    All times are in seconds.
    """

    listen: tuple[Annotated[Listener, parse_with(Listener)], ...] = Field(
        min_length=1, description='a list of addresses such as ["udp:192.0.2.10:5060"]'
    )
    advertise: Hosts | None = Field(
        default=None,
        description="the host where peers reach Galwad, or a list of one for IPv4 and one for IPv6",
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="the full path of the PEM file with the certificate"
    )
    tls_key: FilePath | None = Field(
        default=None, description="the full path of the PEM file with the private key"
    )
    tls_client_ca: FilePath | None = Field(
        default=None, description="the full path of a PEM file with the authorities of clients"
    )
    tls_ca: FilePath | None = Field(
        default=None, description="the full path of a PEM file with the authorities of servers"
    )
    realm: str = Field(
        default="galwad",
        pattern=r"^[^\s\"]{1,64}$",
        description="the realm of the phones' passwords: 1 to 64 characters, no spaces or quotes",
    )
    digest: tuple[Literal["MD5", "SHA-256"], ...] = Field(
        default=("MD5",), min_length=1, description='"MD5", "SHA-256" or both, the preferred first'
    )
    session_expires: Whole = Field(
        default=1800, ge=90, description="a whole number of seconds, 90 or more (RFC 4028)"
    )
    min_se: Whole = Field(
        default=90, ge=90, description="a whole number of seconds, 90 or more (RFC 4028)"
    )
    prack: bool = Field(
        default=True, description="true or false (reliable provisional responses, RFC 3262)"
    )
    ring_timeout: Number = Field(
        default=180, gt=0, le=3600, description="a number of seconds, more than 0 and up to 3600"
    )
    transfer_timeout: Number = Field(
        default=60, gt=0, le=600, description="a number of seconds, more than 0 and up to 600"
    )
    recall_timeout: Number = Field(
        default=30, gt=0, le=600, description="a number of seconds, more than 0 and up to 600"
    )
    max_calls: Whole = Field(
        default=490, ge=1, le=10000, description="a whole number from 1 to 10000"
    )
    emergency_numbers: tuple[EmergencyNumber, ...] = Field(
        default=("999", "112"), description='a list of numbers, such as ["999", "112"]'
    )
    emergency_calls: Whole = Field(
        default=10, ge=1, le=1000, description="a whole number from 1 to 1000"
    )
    max_connections: Whole = Field(
        default=2000, ge=1, le=100000, description="a whole number from 1 to 100000"
    )
    max_lag: Number = Field(
        default=0.25, ge=0.01, le=10, description="a number of seconds from 0.01 to 10"
    )
    source_rate: Number = Field(
        default=20, ge=1, le=10000, description="a number of requests per second from 1 to 10000"
    )
    strangers_rate: Number = Field(
        default=200, ge=1, le=10000, description="a number of requests per second from 1 to 10000"
    )
    trunk_rate: Number = Field(
        default=100, ge=1, le=10000, description="a number of requests per second from 1 to 10000"
    )
    ban_after: Whole = Field(
        default=10,
        ge=0,
        le=100000,
        description="a whole number of failures up to 100000, or 0 to ban no source",
    )
    ban_time: Number = Field(
        default=60, ge=1, le=86400, description="a number of seconds from 1 to 86400"
    )

    @model_validator(mode="after")
    def _check_session_times(self) -> Self:
        if self.session_expires < self.min_se:
            raise ValueError('"session_expires" must be at least "min_se"')
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        speaks = any(listener.transport == "tls" for listener in self.listen)
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError('needs both "tls_certificate" and "tls_key", or neither')
        if speaks and self.tls_certificate is None:
            raise ValueError('needs "tls_certificate" and "tls_key" for "tls:" in "listen"')
        return self


class Trunk(Section):
    """`[[trunks]]`: a trunk, and the addresses from which it may call us without a password.

    If we have an account at the trunk, the section also has the name and the password of the
    account.
    """

    name: str = Field(min_length=1, description='a name for the log, such as "pstn"')
    peers: tuple[Annotated[Peer, parse_with(Peer)], ...] = Field(
        min_length=1,
        description='a list of addresses and networks, such as ["192.0.2.1", "198.51.100.0/28"]',
    )
    media_peers: tuple[Annotated[Peer, parse_with(Peer)], ...] = Field(
        default=(), description='a list of addresses and networks, such as ["192.0.2.9"]'
    )
    transport: TransportName | None = Field(
        default=None, description='"udp", "tcp" or "tls"; leave it out to allow all three'
    )
    trusted: Flag = Field(
        default=False,
        description="true if the trunk's P-Asserted-Identity can be trusted, otherwise false",
    )
    source: OwnSource = None
    srtp: OwnSrtp = None
    username: str = Field(default="", description="the name of our account at the trunk, in quotes")
    password: SecretStr | None = Field(
        default=None, description="the password of our account at the trunk, in quotes"
    )
    password_file: FilePath | None = Field(
        default=None,
        description="an absolute path of a file that contains the password of our account",
    )
    registrar: SipUri | None = Field(
        default=None,
        description='the SIP URI where our account registers, such as "sip:trunk.example"',
    )
    options_every: OptionsInterval = 0

    headers: tuple[HeaderName, ...] = Field(
        default=(), description='a list of names of header fields, such as ["X-Queue"]'
    )
    ring_tones: tuple[RingTone, ...] = Field(
        default=(), description='a list of ring tones, such as ["Bellcore-dr2", "alert-internal"]'
    )
    auto_answer: Flag = Field(
        default=False,
        description="true if the trunk may make phones answer by themselves, otherwise false",
    )
    messages: Flag = Field(
        default=False, description="true if the trunk may show texts on phones, otherwise false"
    )

    @model_validator(mode="after")
    def _check_grants(self) -> Self:
        for name in ("headers", "ring_tones", "auto_answer", "messages"):
            if getattr(self, name) and not self.trusted:
                raise ValueError(f'needs "trusted = true" for "{name}"')
        alerting = {name.lower() for name in self.headers} & set(_ALERTING)
        if alerting:
            raise ValueError(
                'needs "ring_tones" or "auto_answer", not "headers", for a field such as Alert-Info'
            )
        answering = any(_ANSWERING.search(tone) for tone in self.ring_tones)
        if answering and not self.auto_answer:
            raise ValueError(
                'needs "auto_answer = true" for a ring tone that makes phones answer by themselves'
            )
        return self

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        given = [each for each in (self.password, self.password_file) if each is not None]
        if len(given) != bool(self.username):
            raise ValueError(
                'needs "username" and either "password" or "password_file", or none of the three'
            )
        if self.registrar is not None and not self.username:
            raise ValueError('needs "username" and a password for "registrar"')
        return self

    @model_validator(mode="after")
    def _check_options_every(self) -> Self:
        if self.options_every and not any(peer.is_single_address for peer in self.peers):
            raise ValueError('needs an address, not only networks, in "peers" for "options_every"')
        return self

    def matches(self, host: str, port: int, transport: str) -> bool:
        """Return whether a message that arrived from `host` and `port` comes from the trunk.

        If the trunk has a transport, `transport` must be the same. Over TCP and TLS, `port` is
        ignored, because a peer may open a connection from any port.
        """
        if self.transport not in {None, transport.lower()}:
            return False
        known = port if transport.lower() == "udp" else None
        return any(peer.matches(host, known) for peer in self.peers)

    def has_media_host(self, host: str) -> bool:
        """Return whether `host` belongs to the trunk: to its `peers` or its `media_peers`."""
        return any(peer.matches(host, None) for peer in (*self.peers, *self.media_peers))


class Phone(Section):
    """`[[phones]]`: a phone that is defined in the settings and not in the database.

    The phone may register, and place and receive calls.
    """

    extension: Extension = Field(
        description='the phone\'s name, such as "201" (up to 32 of A-Z a-z 0-9 . _ -)'
    )
    user: str = Field(
        default="", description="the user name of the advisor at this phone, in quotes"
    )
    transport: TransportName | None = Field(
        default=None, description='"udp", "tcp" or "tls"; leave it out to allow all three'
    )
    ha1_md5: str = Field(
        default="",
        pattern=r"^([0-9a-f]{32})?$",
        repr=False,
        description="32 lower-case hexadecimal digits: the MD5 of extension:realm:password",
    )
    ha1_sha256: str = Field(
        default="",
        pattern=r"^([0-9a-f]{64})?$",
        repr=False,
        description="64 lower-case hexadecimal digits: the SHA-256 of extension:realm:password",
    )
    srtp: SrtpRule | None = Field(
        default=None,
        description='"off", "optional" or "required"; leave it out to use the one of the route',
    )

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if not (self.ha1_md5 or self.ha1_sha256):
            raise ValueError('needs "ha1_md5", "ha1_sha256" or both')
        return self


class Route(Section):
    """`[[routes]]`: the extensions or SIP URIs to which calls to certain numbers go."""

    called: Annotated[Pattern, parse_with(Pattern)] = Field(
        description='exact ("01970000000"), a prefix ("0197*"), "*" or "/expression/"'
    )
    target: SipUris | None = Field(
        default=None,
        description='the SIP URI to call, such as "sip:301@192.0.2.20", or a list of them',
    )
    ring: tuple[Extension, ...] | None = Field(
        default=None, min_length=1, description='a list of extensions, such as ["201", "202"]'
    )
    skip_away: Flag = Field(
        default=False, description='true to ring people who are away last; needs "ring"'
    )
    line: str = Field(default="", description="the label that advisors see, in quotes")
    line_cy: str = Field(default="", description="the label in Welsh, in quotes")
    advisors: tuple[str, ...] = Field(
        default=(), description='a list of user names, such as ["sian"], for a route with "target"'
    )
    source: OwnSource = None
    srtp: OwnSrtp = None
    options_every: OptionsInterval = 0

    @model_validator(mode="after")
    def _check_target_or_ring(self) -> Self:
        if (self.target is None) == (self.ring is None):
            raise ValueError('needs either "target" or "ring", and not both')
        if self.options_every and self.target is None:
            raise ValueError('needs "target" for "options_every"')
        if self.skip_away and self.ring is None:
            raise ValueError('needs "ring" for "skip_away"')
        if self.line_cy and not self.line:
            raise ValueError('needs "line" for "line_cy"')
        return self


class Destination(Section):
    """`[[destinations]]`: the class of a party, such as the target of a transfer or of a route.

    The class decides whether a call is recorded after this party gets it.
    """

    match: Annotated[Pattern, parse_with(Pattern)] = Field(
        description='a number ("301", "*97"), a prefix ("3*"), "/expression/" or a "sip:…" URI'
    )
    class_: DestinationClassName = Field(
        alias="class", description='"centre", "department", "external" or "payment"'
    )
    target: SipUris | None = Field(
        default=None,
        description="the SIP URI to call instead of the name itself, or a list of them",
    )
    srtp: OwnSrtp = None
    options_every: OptionsInterval = 0

    @model_validator(mode="after")
    def _check_options_every(self) -> Self:
        if self.options_every and self.target is None:
            raise ValueError('needs "target" for "options_every"')
        return self

    def matches(self, user: str, uri: str) -> bool:
        """Return whether a party, such as the target of a transfer, is this destination.

        A pattern that begins with `sip:` or `/sip` is compared with `uri`, the party's URI without
        parameters. Any other pattern is compared with `user`, one form of the URI's user part.
        """
        return self.match.matches(uri if self.match.text.startswith(("sip:", "/sip")) else user)


class MediaSection(Section):
    """`[media]`: the addresses and ports of RTP, and the rules for media."""

    listen: IpAddresses = Field(
        default=("0.0.0.0",),  # noqa: S104 - trunks and phones both send media
        description="an IP address of this machine, or a list of one for IPv4 and one for IPv6",
    )
    advertise: IpAddresses | None = Field(
        default=None,
        description="the IP address to put into SDP, or a list of one for IPv4 and one for IPv6",
    )
    ports: Annotated[PortRange, parse_with(PortRange)] = Field(
        default=PortRange(20000, 21999), description='a range such as "20000-21999"'
    )
    source: SourceRule = Field(
        default="symmetric", description='"symmetric", "latch" or "sdp-host"'
    )
    srtp: SrtpRule = Field(default="optional", description='"off", "optional" or "required"')
    silence_alarm: Number = Field(
        default=30, ge=1, le=3600, description="a number of seconds from 1 to 3600"
    )
