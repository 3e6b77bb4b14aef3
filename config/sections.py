"""The models of the sections of `galwad.toml`: one class for each table.

The `description` of a field is written so that an error message can put the words "must be" before
it. A model cannot be changed after loading, and it refuses unknown settings. The errors never
repeat a value, because settings contain secrets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from config.fields import (
    DtmfCode,
    Extension,
    FilePath,
    Flag,
    Hosts,
    IpAddresses,
    Number,
    PublicKey,
    SipUri,
    SipUris,
    TimeZone,
    Whole,
    parse_with,
)
from config.text_lists import BREAKS, CODE, MOST_ENTRIES, ONE_LINE, PURPOSES, TextFaultKind
from config.values import HostPort, Listener, Pattern, Peer, PortRange

TransportName: TypeAlias = Literal["udp", "tcp", "tls"]
SourceRule: TypeAlias = Literal["symmetric", "latch", "sdp-host"]
SrtpRule: TypeAlias = Literal["off", "optional", "required"]
DestinationClassName: TypeAlias = Literal["centre", "department", "external", "payment"]


HeaderName: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
RingTone: TypeAlias = Annotated[
    str,
    Field(pattern=r"^(urn:alert:[A-Za-z0-9:._-]{1,64}|[A-Za-z0-9][A-Za-z0-9 ._-]{0,63})$"),
]
EmergencyNumber: TypeAlias = Annotated[str, Field(pattern=r"^[0-9]{2,15}$")]
_ANSWERING = re.compile("answer|intercom", re.IGNORECASE)
_FAULTY_LISTS: Final[Mapping[TextFaultKind, str]] = {
    "same_code": 'Two {} have the same "code"; give each its own',
    "same_text": "Two {} have the same text; give each its own",
    "empty": "A text in {} is empty; write it in both languages",
    "too_many": f"The list {{}} is too long: at most {MOST_ENTRIES} entries",
}
"""The errors about whole lists. The fields of an entry have been checked before."""
_ALERTING = ("alert-info", "call-info", "answer-mode", "priv-answer-mode", "p-auto-answer")
Origin: TypeAlias = Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]


class Section(BaseModel):
    """The base class of all sections: a table of `galwad.toml`.

    A section cannot be changed after loading. It refuses unknown settings. Its errors never repeat
    a value, because settings contain secrets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class NodeSection(Section):
    """`[node]`: the name of this installation, and its folders."""

    name: str = Field(
        default="galwad",
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description='1 to 32 lower-case letters, digits and hyphens, such as "galwad-1"',
    )
    state: FilePath = Field(
        default=Path("/var/lib/galwad"),
        description="the full path of the folder for data that must survive a restart",
    )
    runtime: FilePath = Field(
        default=Path("/run/galwad"),
        description="the full path of a folder in memory (tmpfs), which is empty after a reboot",
    )


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
        default=False, description="true if its P-Asserted-Identity can be trusted, otherwise false"
    )
    source: SourceRule | None = Field(
        default=None,
        description='"symmetric", "latch" or "sdp-host"; leave it out to use the one in [media]',
    )
    srtp: SrtpRule | None = Field(
        default=None,
        description='"off", "optional" or "required"; leave it out to use the one in [media]',
    )
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
    options_every: Number = Field(
        default=0,
        ge=0,
        le=3600,
        description="a number of seconds up to 3600, or 0 to send no OPTIONS",
    )

    headers: tuple[HeaderName, ...] = Field(
        default=(), description='a list of names of header fields, such as ["X-Queue"]'
    )
    ring_tones: tuple[RingTone, ...] = Field(
        default=(), description='a list of ring tones, such as ["Bellcore-dr2", "alert-internal"]'
    )
    auto_answer: Flag = Field(
        default=False, description="true if it may make phones answer by themselves, else false"
    )
    messages: Flag = Field(
        default=False, description="true if it may show texts on phones, otherwise false"
    )

    @model_validator(mode="after")
    def _check_grants(self) -> Self:
        for name in ("headers", "ring_tones", "auto_answer", "messages"):
            if getattr(self, name) and not self.trusted:
                raise ValueError(f'needs "trusted = true" for "{name}"')
        alerting = {name.lower() for name in self.headers} & set(_ALERTING)
        if alerting:
            raise ValueError('needs "ring_tones" or "auto_answer", not "headers", for such a field')
        answering = any(_ANSWERING.search(tone) for tone in self.ring_tones)
        if answering and not self.auto_answer:
            raise ValueError('needs "auto_answer = true" for a ring tone that answers by itself')
        return self

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        given = [each for each in (self.password, self.password_file) if each is not None]
        if len(given) != bool(self.username):
            raise ValueError(
                'needs "username" and one of "password" and "password_file", or none of them'
            )
        if self.registrar is not None and not self.username:
            raise ValueError('needs "username" and "password" for "registrar"')
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

    The phone may register and receive calls.
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
    """`[[routes]]`: the extensions, or the SIP URI, to which calls to a certain number go."""

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
    source: SourceRule | None = Field(
        default=None,
        description='"symmetric", "latch" or "sdp-host"; leave it out to use the one in [media]',
    )
    srtp: SrtpRule | None = Field(
        default=None,
        description='"off", "optional" or "required"; leave it out to use the one in [media]',
    )
    options_every: Number = Field(
        default=0,
        ge=0,
        le=3600,
        description="a number of seconds up to 3600, or 0 to send no OPTIONS",
    )

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
    """`[[destinations]]`: the class of the target of a transfer.

    The class decides what a transfer to this target does to the recording of the call.
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
    srtp: SrtpRule | None = Field(
        default=None,
        description='"off", "optional" or "required"; leave it out to use the one in [media]',
    )
    options_every: Number = Field(
        default=0,
        ge=0,
        le=3600,
        description="a number of seconds up to 3600, or 0 to send no OPTIONS",
    )

    @model_validator(mode="after")
    def _check_options_every(self) -> Self:
        if self.options_every and self.target is None:
            raise ValueError('needs "target" for "options_every"')
        return self

    def matches(self, user: str, uri: str) -> bool:
        """Return whether the target of a transfer is this destination.

        `uri` is the URI in Refer-To without parameters, and `user` is the user part of this URI. If
        the pattern `match` begins with `sip:` or `/sip`, it is compared with `uri`, otherwise with
        `user`.
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


class RecordingSection(Section):
    """`[recording]`: the people who can open the archive, and the methods to pause a recording."""

    recipients: FilePath | None = Field(
        default=None,
        description="the full path of the signed file that `galwad keys sign` wrote",
    )
    officer_key: PublicKey = Field(
        description="the officer's public key that `galwad keys show` prints"
    )
    lookback: Number = Field(default=5, ge=0, le=60, description="a number of seconds from 0 to 60")
    erase_back: Number = Field(
        default=0.5, ge=0, le=60, description='a number of seconds, not more than "lookback"'
    )
    """A recorder with a shorter `lookback` erases only as far back as that."""
    quarantine: Number = Field(
        default=3, ge=0, le=10, description="a number of seconds from 0 to 10"
    )
    payment_code_on: DtmfCode | None = Field(
        default=None, description='two to eight of 0-9 * #, such as "*71"'
    )
    payment_code_off: DtmfCode | None = Field(
        default=None, description='two to eight of 0-9 * #, such as "*72"'
    )
    digits_near_pause: Number = Field(
        default=10, ge=0, le=10, description="a number of seconds from 0 to 10"
    )
    unattended_recovery: Flag = Field(default=False, description="true or false")
    include_phones: Flag = Field(default=False, description="true or false")
    point_of_transfer: Literal["answer", "request"] = Field(
        default="answer", description='"answer" or "request"'
    )

    @model_validator(mode="after")
    def _check_pauses(self) -> Self:
        if "erase_back" in self.model_fields_set and self.erase_back > self.lookback:
            raise ValueError('"erase_back" must not be longer than "lookback"')
        on, off = self.payment_code_on, self.payment_code_off
        if (on is None) != (off is None):
            raise ValueError('needs both "payment_code_on" and "payment_code_off", or neither')
        if on and off and (on.startswith(off) or off.startswith(on)):
            raise ValueError(
                '"payment_code_on" must not begin with "payment_code_off", or the reverse'
            )
        return self


class DeskSection(Section):
    """`[desk]`: the page and the HTTP API."""

    listen: Annotated[HostPort, parse_with(HostPort)] = Field(
        default=HostPort("127.0.0.1", 8443), description='"HOST:PORT", such as "127.0.0.1:8443"'
    )
    tls_certificate: FilePath | None = Field(
        default=None, description="the full path of the PEM file with the certificate"
    )
    tls_key: FilePath | None = Field(
        default=None, description="the full path of the PEM file with the private key"
    )
    public_origin: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+$",
        description='the page\'s origin in the browser, such as "https://galwad.example.gov.uk"',
    )
    payment_page_origins: tuple[Origin, ...] = Field(
        default=(), description='a list of origins such as ["https://pay.example.gov.uk"]'
    )
    embed_origins: tuple[Origin, ...] = Field(
        default=(), description='a list of origins such as ["https://council.crm11.dynamics.com"]'
    )
    max_connections: Whole = Field(
        default=4096, ge=64, le=65536, description="a whole number from 64 to 65536"
    )
    time_zone: TimeZone | None = Field(
        default=None,
        description='a time zone, such as "Europe/London"; leave it out to use this machine\'s',
    )
    session_idle: Whole = Field(
        default=1800, ge=60, description="a whole number of seconds, 60 or more"
    )
    session_absolute: Whole = Field(
        default=36000, ge=60, description="a whole number of seconds, 60 or more"
    )
    pause_reminder: Number = Field(
        default=120, ge=5, le=3600, description="a number of seconds from 5 to 3600"
    )
    pause_alarm: Number = Field(
        default=300,
        ge=5,
        le=3600,
        description='a number of seconds, not less than "pause_reminder"',
    )
    waiting_warning: Number = Field(
        default=20, ge=1, le=3600, description="a number of seconds from 1 to 3600"
    )
    alarm_days: Whole = Field(
        default=30, ge=1, le=400, description="a whole number of days from 1 to 400"
    )
    personal_tokens: bool = Field(default=True, description="true or false")
    second_factor_roles: tuple[Literal["advisor", "supervisor", "admin"], ...] = Field(
        default=(), description='a list of roles such as ["supervisor", "admin"]'
    )
    notification_names: bool = Field(default=False, description="true or false")
    welsh_destination: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9+#._-]{1,64}$",
        description='the exact "match" of one of the [[destinations]], such as "600"',
    )
    dial_answers_itself: bool = Field(default=False, description="true or false")
    anchors: FilePath | None = Field(
        default=None, description="the full path of a file to which the desk can append lines"
    )
    nightly: str = Field(
        default="03:00",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description='a local time of day, such as "03:00"',
    )

    @model_validator(mode="after")
    def _check_tls_or_loopback(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError('needs both "tls_certificate" and "tls_key", or neither')
        if self.tls_certificate is None and not self.listen.loopback:
            raise ValueError(
                'needs "tls_certificate" and "tls_key", or a loopback address in "listen"'
            )
        return self

    @model_validator(mode="after")
    def _check_embedding(self) -> Self:
        origins = (*self.embed_origins, self.origin)
        if self.embed_origins and not all(each.startswith("https:") for each in origins):
            raise ValueError('"embed_origins" needs TLS for the page and for each of the origins')
        return self

    @model_validator(mode="after")
    def _check_pause_warnings(self) -> Self:
        if self.pause_alarm < self.pause_reminder:
            raise ValueError('"pause_alarm" must not be shorter than "pause_reminder"')
        return self

    @property
    def tls(self) -> bool:
        """True if the desk itself provides TLS for the page; False if this is left to a proxy."""
        return self.tls_certificate is not None

    @property
    def origin(self) -> str:
        """The origin of the page, such as `https://galwad.example`.

        A request of a browser must have this origin.
        """
        return self.public_origin or f"{'https' if self.tls else 'http'}://{self.listen}"

    @property
    def secure(self) -> bool:
        """True if browsers reach the desk over TLS, which the desk or a proxy provides."""
        return self.tls or (self.public_origin or "").startswith("https:")

    @property
    def cookie(self) -> str:
        """The name of the session cookie. If browsers use TLS, the name has the prefix `__Host-`.

        With this prefix, a browser sends the cookie only to this host and only over TLS (RFC
        6265bis).
        """
        return "__Host-galwad" if self.secure else "galwad"

    @property
    def sign_in_cookie(self) -> str:
        """The name of the cookie with the sign-ins that a browser has begun at a provider."""
        return "__Host-galwad-sign-in" if self.secure else "galwad-sign-in"

    @property
    def device_cookie(self) -> str:
        """The name of the cookie by which the desk knows a browser at its next sign-in."""
        return "__Secure-galwad-devices" if self.secure else "galwad-devices"


class BreakReason(Section):
    """`[[presence.break_reasons]]`: a reason of breaks that advisors can choose."""

    code: str = Field(
        pattern=CODE,
        description='1 to 32 lower-case letters, digits, hyphens and underscores, such as "lunch"',
    )
    en: str = Field(
        min_length=1,
        max_length=BREAKS.longest,
        pattern=ONE_LINE,
        description="a short text in English, in quotes",
    )
    cy: str = Field(
        min_length=1,
        max_length=BREAKS.longest,
        pattern=ONE_LINE,
        description="a short text in Welsh, in quotes",
    )


_BREAK_REASONS = (
    BreakReason(code="break", en="Short break", cy="Seibiant byr"),
    BreakReason(code="lunch", en="Lunch", cy="Cinio"),
    BreakReason(code="meeting", en="Meeting", cy="Cyfarfod"),
    BreakReason(code="training", en="Training", cy="Hyfforddiant"),
    BreakReason(code="other-work", en="Other work", cy="Gwaith arall"),
)


class PresenceSection(Section):
    """`[presence]`: the breaks of advisors."""

    break_reasons: tuple[BreakReason, ...] = Field(
        default=_BREAK_REASONS, description="a list of tables with code, en and cy; [] for none"
    )
    break_reminder: Number = Field(
        default=3600, ge=60, le=86400, description="a number of seconds from 60 to 86400"
    )

    @model_validator(mode="after")
    def _check_codes(self) -> Self:
        if (fault := BREAKS.fault_in(self.break_reasons)) is not None:
            raise ValueError(_FAULTY_LISTS[fault.kind].format('"break_reasons"'))
        return self


class CallLogSection(Section):
    """`[call_log]`: how long the log of calls is kept."""

    numbers_hours: Whole = Field(
        default=24, ge=1, le=168, description="a whole number of hours from 1 to 168"
    )
    calls_days: Whole = Field(
        default=90, ge=7, le=730, description="a whole number of days from 7 to 730"
    )


class DirectorySection(Section):
    """`[directory]`: the lookup of callers in directories."""

    budget: Number = Field(
        default=1.0, ge=0.05, le=1.0, description="a number of seconds from 0.05 to 1.0"
    )
    area_code: str = Field(
        default="",
        pattern=r"^(0[0-9]{2,5})?$",
        description='an area code with its 0, such as "01632"; empty if there is none',
    )
    merge_by: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=("reference",), description='a list of details, such as ["reference", "email"]'
    )
    watch_skip_faults: Flag = Field(default=False, description="true or false")
    watch_remove_absent: Flag = Field(default=False, description="true or false")
    watch_least: Number = Field(default=0.5, ge=0, le=1, description="a number from 0 to 1")


class Purpose(Section):
    """`[[contact_notes.purposes]]`: a purpose of calls that advisors can choose."""

    en: str = Field(
        min_length=1,
        max_length=PURPOSES.longest,
        pattern=ONE_LINE,
        description="a text in English, in quotes",
    )
    cy: str = Field(
        min_length=1,
        max_length=PURPOSES.longest,
        pattern=ONE_LINE,
        description="a text in Welsh, in quotes",
    )
    code: str = Field(
        default="",
        pattern=PURPOSES.code,
        description="the purpose's code in the CRM, in quotes",
    )


class ContactNotesSection(Section):
    """`[contact_notes]`: the notes that advisors write about calls."""

    purposes: tuple[Purpose, ...] = Field(
        default=(), description="tables [[contact_notes.purposes]]"
    )
    free_text: Flag = Field(
        default=True, description="true if advisors may write other purposes, else false"
    )
    recording_link: Flag = Field(
        default=False, description="true if notes have a link to the recording, else false"
    )
    wrap_up: Number = Field(
        default=120, ge=0, le=86400, description="a number of seconds up to 86400; 0 for no limit"
    )
    close_after: Number = Field(
        default=43200,
        ge=0,
        le=2_592_000,
        description='a number of seconds up to 2592000, not less than "wrap_up"; 0 for never',
    )

    @model_validator(mode="after")
    def _check_purposes(self) -> Self:
        if (fault := PURPOSES.fault_in(self.purposes)) is not None:
            raise ValueError(_FAULTY_LISTS[fault.kind].format("[[contact_notes.purposes]]"))
        if not self.free_text and not self.purposes:
            raise ValueError('"free_text" can be false only if there are purposes')
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if 0 < self.close_after < max(self.wrap_up, 600):
            raise ValueError('"close_after" must not be shorter than "wrap_up", nor than 600')
        return self
