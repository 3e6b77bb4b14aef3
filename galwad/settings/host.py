"""The settings of an installation and of its page: `[node]` and `[desk]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from config.fields import FilePath, Number, TimeZone, Whole, parse_with
from config.section import Section
from config.values import HostPort

Origin: TypeAlias = Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]


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
        """The page's origin, such as `https://galwad.example`; browsers' requests must have it."""
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
