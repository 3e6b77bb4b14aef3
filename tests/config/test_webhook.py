"""The settings of the receiver of call events."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.webhook import ALL_EVENTS, WebhookSection

KEY = {"secret_file": "/etc/key"}
TOKEN = {"token_file": "/etc/token"}


def section(**values):
    return WebhookSection.model_validate({"url": "https://crm.example/calls", **values})


def test_a_receiver_gets_every_event_if_the_settings_do_not_say_which():
    found = section(**KEY)
    assert (found.format, found.events, found.timeout) == ("generic", ALL_EVENTS, 10.0)


@pytest.mark.parametrize(
    "url",
    [
        "http://crm.example/calls",
        "https://sian:secret@crm.example/calls",
        "https://crm.example/calls#top",
        "ftp://127.0.0.1/calls",
        "crm.example",
    ],
)
def test_an_address_without_tls_or_with_a_password_is_refused(url):
    with pytest.raises(ValidationError, match="https://"):
        section(url=url, **KEY)


def test_a_receiver_on_this_machine_needs_no_tls():
    assert section(url="http://127.0.0.1:8080/calls", **KEY)


@pytest.mark.parametrize(
    ("values", "missing"),
    [({}, "secret_file"), ({"format": "zammad"}, "token_file")],
)
def test_a_format_without_its_secret_is_refused(values, missing):
    with pytest.raises(ValidationError, match=missing):
        section(**values)


@pytest.mark.parametrize("values", [{"format": "sipgate"}, {"format": "zammad", **TOKEN}])
def test_the_formats_of_other_systems_need_no_signature(values):
    assert section(**values).secret_file is None


@pytest.mark.parametrize(
    "values",
    [
        {"events": []},
        {"events": ["hold"]},
        {"format": "json"},
        {"timeout": 0},
        {"secret_file": "key"},
        {"token": "secret"},
    ],
)
def test_a_value_that_is_not_valid_is_refused(values):
    with pytest.raises(ValidationError):
        section(**{**KEY, **values})
