"""The settings of `[event_stream]`: call events that other systems read from the desk."""

from __future__ import annotations

from pydantic import Field

from config.fields import Number, Whole
from config.sections import Section
from config.webhook import ALL_EVENTS, EventName


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
