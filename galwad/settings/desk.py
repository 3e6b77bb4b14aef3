"""The settings of the desk: its page and API, and a section for each of its subjects."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import Field, PlainSerializer, model_validator

from config.fields import FilePath, Flag, Number, TimeZone, Whole, parse_with
from config.section import Section, TlsSection
from config.values import URL, HostPort, Url
from galwad.settings.retention import KeepPeriod
from galwad.texts.rules import BREAKS, CODE, FAULTY_LISTS, ONE_LINE, PURPOSES

Origin: TypeAlias = Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]
WebhookFormat: TypeAlias = Literal["generic", "zammad", "sipgate"]
EventName: TypeAlias = Literal[
    "ringing", "answered", "transferred", "paused", "resumed", "ended", "sealed"
]
EventNames: TypeAlias = Annotated[
    tuple[EventName, ...],
    Field(min_length=1, description='a list of events, such as ["ringing", "answered", "ended"]'),
]
ALL_EVENTS: tuple[EventName, ...] = get_args(EventName)
ISSUER = 'an address that begins with "https://", as the provider writes it in its tokens'
PersonRole: TypeAlias = Literal["advisor", "supervisor", "admin"]
_Word: TypeAlias = Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,200}$")]
_GUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


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
    hold_grace: Annotated[
        KeepPeriod, parse_with(KeepPeriod), PlainSerializer(str, return_type=str)
    ] = Field(default=KeepPeriod(14, "day"), description='a period such as "14 days"')
    """The least time for which recordings are kept after their legal hold is released."""

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
        """True if the desk itself provides TLS for the page. If not, a proxy may provide TLS."""
        return self.tls_certificate is not None

    @property
    def origin(self) -> str:
        """The page's origin in browsers, such as `https://galwad.example`."""
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


class DirectorySection(Section):
    """`[directory]`: the lookup of callers, and the import of people from a watched folder."""

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


class BreakReason(Section):
    """`[[presence.break_reasons]]`: a reason for a break that advisors can choose."""

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
            raise ValueError(FAULTY_LISTS[fault.kind].format('"break_reasons"'))
        return self


class CallLogSection(Section):
    """`[call_log]`: how long the log of calls is kept."""

    numbers_hours: Whole = Field(
        default=24, ge=1, le=168, description="a whole number of hours from 1 to 168"
    )
    calls_days: Whole = Field(
        default=90, ge=7, le=730, description="a whole number of days from 7 to 730"
    )


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
        default="", pattern=PURPOSES.code, description="the purpose's code in the CRM, in quotes"
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
        description='a number of seconds from 600 to 2592000, at least "wrap_up"; or 0 for never',
    )

    @model_validator(mode="after")
    def _check_purposes(self) -> Self:
        if (fault := PURPOSES.fault_in(self.purposes)) is not None:
            raise ValueError(FAULTY_LISTS[fault.kind].format("[[contact_notes.purposes]]"))
        if not self.free_text and not self.purposes:
            raise ValueError('"free_text" can be false only if there are purposes')
        return self

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if 0 < self.close_after < max(self.wrap_up, 600):
            raise ValueError('"close_after" must not be shorter than "wrap_up", nor than 600')
        return self


class WebhookSection(Section):
    """`[webhook]`: the receiver of call events, and the files with the secrets for the requests."""

    url: Url = Field(description=URL)
    format: WebhookFormat = Field(default="generic", description='"generic", "zammad" or "sipgate"')
    secret_file: FilePath | None = Field(
        default=None, description="an absolute path of a file with the key that signs the requests"
    )
    token_file: FilePath | None = Field(
        default=None,
        description="an absolute path of a file with the secret last part of the address",
    )
    events: EventNames = ALL_EVENTS
    timeout: Number = Field(
        default=10.0, ge=0.1, le=60.0, description="a number of seconds from 0.1 to 60"
    )
    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')

    @model_validator(mode="after")
    def _check_secrets(self) -> Self:
        if self.format == "generic" and self.secret_file is None:
            raise ValueError('needs "secret_file" for the format "generic"')
        if self.format == "zammad" and self.token_file is None:
            raise ValueError('needs "token_file" for the format "zammad"')
        return self


class EventStreamSection(Section):
    """`[event_stream]`: the events that machines can read, and the limits for keeping events."""

    events: EventNames = ALL_EVENTS
    keep_hours: Number = Field(
        default=1.0, ge=0.1, le=72.0, description="a number of hours from 0.1 to 72"
    )
    keep_events: Whole = Field(
        default=10_000, ge=100, le=100_000, description="a whole number from 100 to 100000"
    )


class SignInSection(Section):
    """`[sign_in]`: the OpenID provider, Galwad's client there, and what its roles mean here."""

    issuer: Url = Field(description=ISSUER)
    client_id: _Word = Field(description="the id under which Galwad is registered there")
    secret_file: FilePath = Field(description="an absolute path of a file with the client's secret")
    scopes: tuple[_Word, ...] = Field(
        default=("openid", "profile"), description='a list with "openid", such as ["openid"]'
    )
    identity: Literal["sub", "oid"] = Field(default="sub", description='"sub" or "oid"')
    tenant: str = Field(
        default="",
        pattern=_GUID,
        description='the id of the tenant in lower case, if "identity" is "oid"',
    )
    roles_claim: _Word = Field(default="roles", description='the name of a claim, such as "roles"')
    roles: dict[str, PersonRole] = Field(
        min_length=1, description='a table such as { "Galwad.Advisor" = "advisor" }'
    )
    password_users: tuple[str, ...] | None = Field(
        default=None, description='a list of user names, such as ["emergency"]'
    )
    step_up: _Word | None = Field(
        default=None,
        description='a value that the provider gives for a stronger sign-in, such as "c1"',
    )
    step_up_claim: Literal["acr", "acrs"] = Field(default="acr", description='"acr" or "acrs"')
    step_up_lifetime: Number = Field(
        default=600.0, ge=60.0, le=36_000.0, description="a number of seconds from 60 to 36000"
    )
    timeout: Number = Field(
        default=10.0, ge=0.1, le=60.0, description="a number of seconds from 0.1 to 60"
    )
    tls: TlsSection = Field(default=TlsSection(), description='a table with "ca"')

    @model_validator(mode="after")
    def _check_provider(self) -> Self:
        if urlsplit(self.issuer).query:
            raise ValueError('needs an "issuer" without "?"')
        if "openid" not in self.scopes:
            raise ValueError('needs "openid" in "scopes"')
        if (self.identity == "oid") != bool(self.tenant):
            raise ValueError('needs "tenant" if "identity" is "oid", and only then')
        if self.step_up is not None and self.tenant and self.step_up_claim != "acrs":
            raise ValueError('needs "step_up_claim" = "acrs" if "identity" is "oid"')
        return self
