"""A card number in any text of a request is refused, and is not repeated, stored or logged.

Covers `galwad/host/errors.py`, `galwad/host/bodies.py` and
`galwad/host/request_guard.py`.
"""

from __future__ import annotations

import io
import re
import sys
from typing import Annotated, get_args, get_origin, get_type_hints
from urllib.parse import quote

import pytest
import structlog
from pydantic import BaseModel, SecretStr, TypeAdapter, ValidationError

from galwad.api.app import create_app
from galwad.host.bodies import field_names, request_bodies
from galwad.logs import configure
from helpers.card_numbers import CARDS, HIDDEN_CARDS, NOT_CARDS

CALL = "20261125-101500-aaaaaaaa"
CARD = "4111 1111 1111 1111"
FULL_WIDTH = {0x30 + digit: 0xFF10 + digit for digit in range(10)}
TRACES = ("4111", "1111")
NOT_TEXTS = {
    ("ChangePassword", "current"): "only compared with its hash",
    ("ChangePassword", "new"): "only its hash is stored",
    ("NewMachineToken", "rights"): "each must be the name of a right",
    ("ChangeOfUser", "rights"): "each must be the name of a right",
    ("NewUser", "rights"): "each must be the name of a right",
    ("ChangeOfUser", "link"): "an identifier that the OpenID provider has made",
    ("ChangeOfUser", "unlink"): "an identifier that the OpenID provider has made",
    ("ChangeOfUser", "version"): "16 hexadecimal digits that match the user's state",
    ("UserVersion", "version"): "16 hexadecimal digits that match the user's state",
    ("NewTextList", "version"): "16 hexadecimal digits that match the list's state",
    ("ListVersionBody", "version"): "16 hexadecimal digits that match the list's state",
    ("ContactDraft", "window"): "16 letters",
    ("Login", "password"): "only its hash is stored",
    ("Login", "code"): "only compared with a secret or a hash",
    ("WaitingCode", "code"): "only compared with a code of letters",
    ("WaitingSecret", "secret"): "only compared with a digest",
    ("BeginPanel", "site"): "refused unless the settings have the same text",
    ("FactorProof", "password"): "only compared with its hash",
    ("FactorProof", "code"): "only compared with a secret or a hash",
    ("ConfirmSetup", "code"): "only compared with a secret",
    ("WhichRecordings", "call_ids"): "each must be the id of a recording",
    ("EraseCalls", "call_ids"): "each must be the id of a call",
    ("ExcludeCalls", "call_ids"): "each must be the id of a call",
    ("OpenHold", "call_ids"): "each must be the id of a recording",
    ("SomeRecordings", "call_ids"): "each must be the id of a recording",
    ("OpenDisclosure", "call_ids"): "each must be the id of a recording",
    ("SentFile", "sha256"): "64 hexadecimal digits",
    ("NewHeader", "header"): "a signed file in base64",
    ("NewHeader", "rewrap"): "a signed file in base64",
    ("HeaderCommit", "sha256"): "64 hexadecimal digits",
    ("EvidencePack", "sha256"): "64 hexadecimal digits",
    ("CasePack", "sha256"): "64 hexadecimal digits",
    ("Reindex", "node_keys"): "public keys in base64",
    ("Reindex", "officer_keys"): "public keys in base64",
    ("RestoreFacts", "number"): "accepted only if it matches the signed manifest",
    ("RestoreFacts", "line"): "accepted only if it matches the signed manifest",
    ("RestoreFacts", "advisor"): "accepted only if it matches the signed manifest",
    ("RestoreFacts", "extension"): "accepted only if it matches the signed manifest",
    ("SealedCaller", "number"): "accepted only if it matches the signed manifest",
    ("SealedAdvisor", "advisor"): "accepted only if it matches the signed manifest",
    ("SealedAdvisor", "extension"): "accepted only if it matches the signed manifest",
    ("RestoreFacts", "salt"): "64 hexadecimal digits that match the signed manifest",
    ("RecordingQuery", "after"): "the desk itself has made it; it is parsed, and never stored",
    ("DisposalRun", "after"): "the desk itself has made it; it is parsed, and never stored",
}
"""The fields that may hold any digits, each with the reason."""


def accepts_text(hint):
    """Return whether a field of this type can hold a text of a client's choice."""
    if get_origin(hint) is Annotated:
        return accepts_text(get_args(hint)[0])
    if hint in {str, SecretStr}:
        return True
    # The arguments of a Literal are texts, not types.
    return any(
        accepts_text(each) for each in get_args(hint) if isinstance(each, type) or get_args(each)
    )


def text_fields():
    """Return the text fields of all request bodies: (body, field, type)."""
    assert create_app.__module__ in sys.modules  # it imports every route, and so every body
    own = [each for each in request_bodies() if each.__module__.startswith("galwad.")]
    for body in own:
        if issubclass(body, BaseModel):  # a generated body keeps its limits in its fields
            hints = {n: Annotated[each.annotation, each] for n, each in body.model_fields.items()}
        else:
            hints = get_type_hints(body, include_extras=True)
        for name in field_names(body):
            if accepts_text(hints[name]):
                yield body, name, hints[name]


def test_each_text_of_a_request_refuses_card_numbers_or_is_listed_with_a_reason():
    found = {(body.__name__, name): hint for body, name, hint in text_fields()}
    assert len(found) > 25
    assert set(NOT_TEXTS) <= set(found)
    for place in set(found) - set(NOT_TEXTS):
        for card in CARDS:
            with pytest.raises(ValidationError) as refused:
                TypeAdapter(found[place]).validate_python(card)
            assert "card_number" in {each["type"] for each in refused.value.errors()}, place


@pytest.fixture
def journal(monkeypatch):
    """All output of the process, with the real log configuration."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stderr", text)
    monkeypatch.setattr(sys, "stdout", text)
    before = structlog.get_config()
    configure("desk", as_json=True)
    yield text
    structlog.configure(**before)


REQUESTS = [
    ("sian", "PUT", f"calls/{CALL}/contact", {"purpose": "Waste", "notes": f"paid\n{CARD}"}),
    ("sian", "PUT", f"calls/{CALL}/contact", {"purpose": CARD}),
    ("sian", "PUT", f"calls/{CALL}/contact/draft", {"notes": CARD, "window": "a" * 16, "edit": 1}),
    ("sian", "POST", f"calls/{CALL}/choose", {"person_id": CARD}),
    ("sian", "PUT", f"calls/{CALL}/payment", {"holder": CARD}),
    ("mair", "PUT", "payments", {"advisor": CARD}),
    ("mair", "PUT", f"calls/{CARD}/payment", {}),
    ("mair", "POST", "recordings/search", {"number": CARD}),
    ("mair", "POST", "recordings/search", {"reference": CARD.translate(FULL_WIDTH)}),
    ("mair", "POST", "recordings/search", {"since": CARD}),
    ("mair", "GET", f"recordings?reference={quote(CARD)}", None),
    ("mair", "GET", f"recordings?number={CARD.replace(' ', '+')}", None),
    ("mair", "GET", f"coverage?when={quote(CARD)}", None),
    ("mair", "GET", f"recordings/{CARD}", None),
    ("mair", "POST", f"recordings/{CALL}/fetch", {"purpose": "complaint", "reference": CARD}),
    ("gwen", "POST", "holds", {"reference": CARD, "reason": "a", "review": "2099-01-01"}),
    ("gwen", "PUT", "holds/1", {"version": 1, "reason": CARD}),
    ("gwen", "POST", "holds/1/release", {"version": 1, "reason": CARD}),
    ("gwen", "POST", f"recordings/{CALL}/purge", {"reason": "order", "reference": CARD}),
    ("gwen", "POST", f"recordings/{CALL}/recover", {"life": 1, "reference": CARD}),
    ("gwen", "POST", f"recordings/{CALL}/reindex", {"reference": CARD}),
    ("gwen", "POST", f"recordings/{CALL}/header", {"reference": CARD}),
    ("gwen", "POST", "headers/search", {"after": CARD.replace(" ", "-")}),
    ("gwen", "POST", f"contacts/{CALL}/discard", {"reason": CARD}),
    ("gwen", "POST", "audit/search", {"actor": CARD}),
    ("gwen", "POST", "audit/search", {"call_id": CARD}),
    ("gwen", "POST", "login", {"user": CARD, "password": "x"}),
]


async def test_a_refused_card_number_is_not_in_the_answer_the_log_or_the_database(running, journal):
    await running.answered(CALL)
    pages = {name: await running.page(name) for name in ("sian", "mair", "gwen")}
    for user, method, path, body in REQUESTS:
        reply = await pages[user].http.request(method, f"/api/v1/{path}", json=body)
        assert reply.status_code == 422, (path, reply.text)
        told = reply.json()
        assert told["reason"] == "card_number", path
        assert "seems to contain a payment card number" in told["error"]
        assert told["hint"].startswith("remove it; if it is another number")
        assert not any(trace in reply.text for trace in TRACES), path
    database = running.settings.database
    await running.stop()
    # A fraction of a second can have the digits of a card by chance.
    written = re.sub(r"T\d\d:\d\d:\d\d\.\d+Z", "", journal.getvalue())
    assert written.count("request.card_number") == len(REQUESTS)
    assert "body.notes" in written
    assert not any(trace in written for trace in TRACES)
    for path in (database, database.with_name(f"{database.name}-wal")):
        stored = path.read_bytes() if path.exists() else b""
        assert not any(card.encode() in stored for card in (CARD, CARD.replace(" ", "")))


async def test_a_note_is_refused_if_a_number_in_it_is_a_card_number_and_saved_otherwise(running):
    sian = await running.answered(CALL)
    path = f"/api/v1/calls/{CALL}/contact"
    for text in (*CARDS, *HIDDEN_CARDS):
        refused = await sian.http.put(path, json={"purpose": "Waste", "notes": text})
        assert refused.status_code == 422, text
    for text in NOT_CARDS:
        saved = await sian.http.put(path, json={"purpose": "Waste", "notes": text})
        assert saved.status_code == 200, text
    note = await running.desk.notes.contacts.note(CALL)
    assert note is not None
    assert note.notes == NOT_CARDS[-1]


async def test_an_error_names_each_field_with_a_card_number(running):
    sian = await running.answered(CALL)
    body = {"purpose": CARD, "outcome": CARD, "unknown": CARD}
    reply = await sian.http.put(f"/api/v1/calls/{CALL}/contact", json=body)
    error = reply.json()["error"]
    assert error.startswith("body.outcome, body.purpose seems to contain a payment card number")


async def test_an_address_that_is_too_long_to_be_searched_is_refused(running):
    client = running.client()
    at_its_end = CARD.replace(" ", "")
    assert (await client.get(f"/api/v1/health?{'x' * 1900}{at_its_end}")).status_code == 422
    assert (await client.get(f"/api/v1/health?{'x' * 2000}")).status_code == 200
    reply = await client.get(f"/api/v1/health?{'x' * 2100}{at_its_end}")
    assert (reply.status_code, reply.json()["error"]) == (414, "the address is too long")
