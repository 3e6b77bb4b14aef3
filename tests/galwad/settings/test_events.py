"""The settings of webhooks and the stream of call events, and the examples of docs/webhooks.md."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.errors import SettingsError
from galwad.events.receiver import signature_headers
from galwad.settings import load
from galwad.settings.desk import ALL_EVENTS, EventStreamSection, WebhookSection

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
def test_an_invalid_value_in_the_webhook_table_is_refused(values):
    with pytest.raises(ValidationError):
        section(**{**KEY, **values})


LEAST = """\
[sip]
listen = ["udp:127.0.0.1:5060"]
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="
"""
DOCUMENT = (Path(__file__).parents[3] / "docs/webhooks.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", DOCUMENT, re.DOTALL)


@pytest.fixture
def read(tmp_path):
    """Return a function that loads these settings."""

    def read(text):
        path = tmp_path / "galwad.toml"
        path.write_text(LEAST + text, encoding="utf-8")
        return load(path).webhook

    return read


def test_without_the_table_there_is_no_receiver(read):
    assert read("") is None


def test_each_example_of_the_document_loads(read):
    assert [read(text).format for text in EXAMPLES] == ["generic", "zammad", "sipgate"]


def test_a_fault_in_the_table_has_its_line(read):
    with pytest.raises(SettingsError) as caught:
        read('[webhook]\nformat = "sipgate"\nurl = "http://crm.example"\n')
    (fault,) = caught.value.faults
    assert (fault.line, fault.key) == (10, "webhook.url")
    assert 'begins with "https://"' in fault.message


@pytest.mark.parametrize(
    ("changed", "accepted"), [("", True), ("body", False), ("id", False), ("age", False)]
)
def test_the_example_of_the_document_checks_the_signature(changed, accepted):
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    example: dict = {}
    exec(code, example)
    key, body = b"k" * 32, b"{}"
    sent_at = int(time.time()) - (400 if changed == "age" else 0)
    headers = signature_headers(key, "id", sent_at, body)
    if changed == "id":
        headers["webhook-id"] = "other"
    text = base64.b64encode(key).decode()
    got = b"[]" if changed == "body" else body
    assert example["is_from_galwad"](headers, got, text) is accepted
    assert example["is_from_galwad"](headers, got, f"whsec_{text}") is accepted


def test_an_empty_table_offers_all_events_for_an_hour():
    stream = EventStreamSection()
    assert (stream.events, stream.keep_hours, stream.keep_events) == (ALL_EVENTS, 1.0, 10_000)


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
def test_a_value_of_the_stream_outside_its_limits_is_refused(wrong):
    with pytest.raises(ValidationError):
        EventStreamSection.model_validate(wrong)
