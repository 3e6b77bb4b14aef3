"""The settings of the stream of call events: what is valid, and what is the default."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.event_stream import EventStreamSection
from config.webhook import ALL_EVENTS


def test_an_empty_table_offers_all_events_for_an_hour():
    section = EventStreamSection()
    assert (section.events, section.keep_hours, section.keep_events) == (ALL_EVENTS, 1.0, 10_000)


@pytest.mark.parametrize(
    "wrong",
    [
        {"events": []},
        {"events": ["dropped"]},
        {"keep_hours": 0},
        {"keep_hours": 73},
        {"keep_events": 99},
        {"unknown": 1},
    ],
)
def test_a_value_outside_its_limits_is_refused(wrong):
    with pytest.raises(ValidationError):
        EventStreamSection.model_validate(wrong)
