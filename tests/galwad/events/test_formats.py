"""The bodies of the requests, in each format."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galwad.events.call_events import EventCall, WebhookEvent
from galwad.events.formats import known_kinds, request_body
from galwad.messages import Party

CALL = EventCall(
    "20261125-101500-aaaaaaaa", 1_800_000_000.25, "Council Tax", "+441632960999", "+441632960001"
)
TALK = EventCall(
    *(CALL.call_id, CALL.started, CALL.line, CALL.called, CALL.caller),
    advisor="sian",
    extension="201",
)
PHONES = (Party("201", "sian"), Party("202"))
RINGING = WebhookEvent("id-1", "ringing", 1_800_000_000.25, CALL, ringing=PHONES)
ANSWERED = WebhookEvent("id-2", "answered", 1_800_000_005.0, TALK)
ENDED = WebhookEvent("id-3", "ended", 1_800_000_065.0, TALK, answered=True)


def document(event, form="generic"):
    body = request_body(event, form)
    assert body.content_type == "application/json"
    return json.loads(body.content)


def form_of(event):
    body = request_body(event, "sipgate")
    assert body.content_type == "application/x-www-form-urlencoded"
    return parse_qsl(body.content.decode(), keep_blank_values=True, strict_parsing=True)


def test_the_generic_format_has_the_documented_fields():
    data = {
        "call_id": CALL.call_id,
        "started": "2027-01-15T08:00:00.250Z",
        "line": "Council Tax",
        "direction": "in",
        "caller": "+441632960001",
        "called": "+441632960999",
        "advisor": None,
        "extension": None,
    }
    assert document(RINGING) == {
        "id": "id-1",
        "type": "call.ringing",
        "timestamp": "2027-01-15T08:00:00.250Z",
        "data": {
            **data,
            "ringing": [
                {"extension": "201", "advisor": "sian"},
                {"extension": "202", "advisor": None},
            ],
        },
    }
    assert document(ANSWERED)["data"] == {**data, "advisor": "sian", "extension": "201"}


@pytest.mark.parametrize(
    ("kind", "facts", "more"),
    [
        ("transferred", {"destination": "department"}, {"destination": "department"}),
        ("paused", {}, {}),
        ("resumed", {}, {}),
        ("ended", {"answered": True}, {"answered": True}),
        (
            "sealed",
            {"talk_us": 61_500_000, "interrupted": True},
            {"talk_seconds": 61.5, "interrupted": True},
        ),
    ],
)
def test_each_kind_of_event_has_its_own_fields_in_the_generic_format(kind, facts, more):
    found = document(WebhookEvent("id", kind, 1.0, TALK, **facts))
    common = document(ANSWERED)["data"]
    assert (found["type"], found["data"]) == (f"call.{kind}", {**common, **more})


def test_zammad_gets_its_three_events_with_its_own_names():
    common = {
        "from": "441632960001",
        "to": "441632960999",
        "direction": "in",
        "callId": CALL.call_id,
    }
    assert document(RINGING, "zammad") == {**common, "event": "newCall", "user": ["sian"]}
    agent = {"user": "sian", "answeringNumber": "sian"}
    assert document(ANSWERED, "zammad") == {**common, "event": "answer", **agent}
    ended = {**common, "event": "hangup", "cause": "normalClearing", **agent}
    assert document(ENDED, "zammad") == ended
    missed = WebhookEvent("id", "ended", 1.0, CALL)
    assert document(missed, "zammad") == {**common, "event": "hangup", "cause": "cancel"}


def test_zammad_gets_no_agent_for_a_call_that_an_advisor_places():
    call = EventCall(CALL.call_id, 1.0, "", "500", "201", outgoing=True, extension="500")
    assert document(WebhookEvent("id", "answered", 1.0, call), "zammad") == {
        "event": "answer",
        "from": "201",
        "to": "500",
        "direction": "out",
        "callId": CALL.call_id,
    }


def test_sipgate_gets_its_three_events_as_forms():
    common = [
        ("from", "441632960001"),
        ("to", "441632960999"),
        ("direction", "in"),
        ("callId", CALL.call_id),
    ]
    xcid = ("xcid", CALL.call_id)
    assert form_of(RINGING) == [
        ("event", "newCall"),
        *common,
        xcid,
        *(("user[]", "sian"), ("userId[]", "201"), ("fullUserId[]", "201")),
        *(("user[]", ""), ("userId[]", "202"), ("fullUserId[]", "202")),
    ]
    assert form_of(ANSWERED) == [
        ("event", "answer"),
        *common,
        xcid,
        *(("user", "sian"), ("userId", "201"), ("fullUserId", "201")),
        ("answeringNumber", "201"),
    ]
    cause = ("cause", "normalClearing")
    assert form_of(ENDED) == [
        *(("event", "hangup"), *common, cause, xcid),
        ("answeringNumber", "201"),
    ]


@given(line=st.text(), called=st.text(), caller=st.text(), user=st.text(), extension=st.text())
def test_a_form_keeps_any_text_but_drops_a_leading_plus_sign_of_a_number(
    line, called, caller, user, extension
):
    call = EventCall("id", 1.0, line, called, caller, advisor=user, extension=extension)
    party = Party(extension, user)
    found = form_of(WebhookEvent("id", "ringing", 1.0, call, ringing=(party,)))
    assert [name for name, _ in found] == [
        *("event", "from", "to", "direction", "callId", "xcid"),
        *("user[]", "userId[]", "fullUserId[]"),
    ]
    fields = dict(found)
    assert fields["from"] == (caller.removeprefix("+") or "anonymous")
    assert fields["to"] == called.removeprefix("+")
    assert (fields["user[]"], fields["userId[]"]) == (user, extension)


@given(line=st.text(), user=st.text())
def test_any_text_is_unchanged_in_the_document_of_an_event(line, user):
    call = EventCall("id", 1.0, line, "", None, advisor=user)
    data = document(WebhookEvent("id", "answered", 1.0, call))["data"]
    assert (data["line"], data["advisor"]) == (line, user or None)


@pytest.mark.parametrize("form", ["zammad", "sipgate"])
@pytest.mark.parametrize("caller", ["anonymous", None, "", "+"])
def test_a_caller_without_a_number_is_anonymous_in_every_event(form, caller):
    for event in (RINGING, ANSWERED, ENDED):
        call = EventCall(event.call.call_id, 1.0, "Council Tax", "+441632960999", caller)
        hidden = WebhookEvent("id", event.kind, 1.0, call)
        found = document(hidden, form) if form == "zammad" else dict(form_of(hidden))
        assert found["from"] == "anonymous"


def test_only_the_generic_format_knows_every_kind_of_event():
    assert known_kinds("zammad") == known_kinds("sipgate") == {"ringing", "answered", "ended"}
    assert known_kinds("generic") > known_kinds("zammad")
    for kind in known_kinds("generic") - known_kinds("zammad"):
        with pytest.raises(KeyError):
            request_body(WebhookEvent("id", kind, 1.0, TALK), "zammad")
