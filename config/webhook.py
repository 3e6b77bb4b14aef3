"""The settings of `[webhook]`: another system that receives the events of calls."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias, get_args

from pydantic import Field, model_validator

from config.directories.base import URL, DirectoryTls, Url
from config.fields import FilePath, Number
from config.sections import Section

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
    tls: DirectoryTls = Field(default=DirectoryTls(), description='a table with "ca"')

    @model_validator(mode="after")
    def _check_secrets(self) -> Self:
        if self.format == "generic" and self.secret_file is None:
            raise ValueError('needs "secret_file" for the format "generic"')
        if self.format == "zammad" and self.token_file is None:
            raise ValueError('needs "token_file" for the format "zammad"')
        return self
