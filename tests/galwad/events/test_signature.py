"""The signature of a request, which the specification's own library accepts."""

from __future__ import annotations

import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from galwad.events.receiver import signature_headers, signing_key
from net.errors import ServerError

keys = st.binary(min_size=24, max_size=64)
names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)
bodies = st.dictionaries(st.text(), st.text() | st.integers() | st.none())


@given(keys, names, bodies, st.booleans())
def test_the_library_of_the_specification_accepts_the_signature(key, event_id, body, prefix):
    text = ("whsec_" if prefix else "") + base64.b64encode(key).decode()
    data = json.dumps(body).encode()
    headers = signature_headers(signing_key(text), event_id, int(time.time()), data)
    assert Webhook(text).verify(data, headers) == body


@pytest.mark.parametrize("changed", ["id", "timestamp", "body", "key"])
def test_the_library_refuses_a_request_whose_id_time_body_or_key_was_changed(changed):
    key, body, now = b"k" * 32, b'{"a":1}', int(time.time())
    headers = signature_headers(key, "one", now, body)
    if changed == "id":
        headers["webhook-id"] = "two"
    elif changed == "timestamp":
        headers["webhook-timestamp"] = str(now - 1)
    elif changed == "body":
        body = b'{"a":2}'
    else:
        key = b"K" * 32
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(body, headers)


def test_the_example_of_the_specification_has_its_signature():
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    headers = signature_headers(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(max_size=31))
def test_a_text_that_is_too_short_for_a_key_is_refused(text):
    with pytest.raises(ServerError, match="24 to 64 octets"):
        signing_key(text)


def test_a_text_that_is_not_base64_is_refused_and_the_error_does_not_repeat_it():
    with pytest.raises(ServerError) as caught:
        signing_key("correct horse battery staple, is it not?")
    assert "horse" not in str(caught.value)


@pytest.mark.parametrize("octets", [0, 23, 65])
def test_a_key_of_another_length_is_refused(octets):
    with pytest.raises(ServerError, match="24 to 64 octets"):
        signing_key(base64.b64encode(bytes(octets)).decode())
