"""The settings of `[webhook]` and `[event_stream]`: the events of calls for other systems.

A webhook sends them; the stream is read.
"""

from __future__ import annotations

from typing import Literal, Self, TypeAlias, get_args

from pydantic import Field, model_validator

from config.fields import FilePath, Number, Whole
from config.section import Section, TlsSection
from config.values import URL, Url

WebhookFormat: TypeAlias = Literal["generic", "zammad", "sipgate"]
EventName: TypeAlias = Literal[
    "ringing", "answered", "transferred", "paused", "resumed", "ended", "sealed"
]
ALL_EVENTS: tuple[EventName, ...] = get_args(EventName)


class WebhookSection(Section):
    """`[webhook]`: the receiver of the events, and how Galwad proves to it who it is."""

    url: Url = Field(description=URL)
    format: WebhookFormat = Field(default="generic", description='"generic", "zammad" or "sipgate"')
    secret_file: FilePath | None = Field(
        default=None, description="an absolute path of a file with the key that signs the requests"
    )
    token_file: FilePath | None = Field(
        default=None,
        description="an absolute path of a file with the secret last part of the address",
    )
    events: tuple[EventName, ...] = Field(
        default=ALL_EVENTS,
        min_length=1,
        description='a list of events, such as ["ringing", "answered", "ended"]',
    )
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
    """`[event_stream]`: which events machines can read, and how many are kept for how long."""

    events: tuple[EventName, ...] = Field(
        default=ALL_EVENTS,
        min_length=1,
        description='a list of events, such as ["ringing", "answered", "ended"]',
    )
    keep_hours: Number = Field(
        default=1.0, ge=0.1, le=72.0, description="a number of hours from 0.1 to 72"
    )
    keep_events: Whole = Field(
        default=10_000, ge=100, le=100_000, description="a whole number from 100 to 100000"
    )
