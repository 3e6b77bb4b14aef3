"""Contact notes in Dataverse: one completed phone call for each, whatever happens in between."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest
from azure.core.credentials import AccessToken, TokenCredential
from hypothesis import HealthCheck, given
from hypothesis import settings as examined
from hypothesis import strategies as st
from PowerPlatform.Dataverse.client import DataverseClient

from callerid.directories.dataverse import DataverseNotes, DataverseSection
from callerid.errors import NoteRefusedError
from callerid.note import EarlierDelivery, OutgoingNote
from config.section import TlsSection
from helpers.dataverse import CLIENT, TENANT, dataverse
from helpers.http_server import HttpServer, answer
from net.authentication import BearerAuthentication
from net.errors import ServerBusyError, ServerError
from net.json_client import JsonClient

__all__ = ["dataverse"]

FIRST = EarlierDelivery()
NOTE = OutgoingNote(
    call_id="0190b0a0c0ffee00",
    version=1,
    started=1_790_000_000.0,
    line="Council Tax",
    advisor="sian",
    person_id="",
    reference="CT-7",
    purpose="Bins",
    purpose_code="100000001",
    language="cy",
    outcome="Ring back",
    caller_type="family",
    on_behalf_of="Elin's mother",
    authority="letter",
    notes='Said "diolch".\nRing back on Monday.',
    recording_url="https://galwad.example/recordings/1",
)


def settings(url, table="contacts", **notes):
    return DataverseSection.model_validate(
        {
            "name": "dynamics",
            "kind": "dataverse",
            "url": url,
            "tenant_id": TENANT,
            "client_id": CLIENT,
            "secret_file": "/run/secret",
            "table": table,
            "contact_notes": notes,
        }
    )


@pytest.fixture
async def client(dataverse, tmp_path):
    dataverse.tokens["t"] = 9e12
    token = tmp_path / "token"
    token.write_text("t")
    tls = TlsSection(ca=dataverse.ca).context()
    client = JsonClient(BearerAuthentication(token), tls, connections=1)
    yield client
    await client.close()


@pytest.fixture
def notes(dataverse, client):
    return DataverseNotes(settings(dataverse.url, purpose_column="cc_purpose"), client)


def call_of(dataverse):
    """Return the only phone call, and the ids of its parties."""
    ((key, row),) = dataverse.rows["phonecalls"].items()
    return row, [party["_partyid_value"] for party in dataverse.parties[key]]


class Token(TokenCredential):
    def get_token(self, *_scopes, **_more):
        return AccessToken("t", 9_000_000_000)


async def test_microsofts_client_reads_the_completed_phone_call_of_a_note(
    dataverse, notes, monkeypatch
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(dataverse.ca))
    elin = dataverse.add("contacts", firstname="Elin")
    record = await notes.deliver(replace(NOTE, person_id=elin), FIRST)
    assert record == str(NOTE.note_id)

    def read():
        with DataverseClient(dataverse.url, Token()) as client:
            return client.records.retrieve(
                "phonecall", record, expand=["phonecall_activity_parties"]
            )

    call = await asyncio.to_thread(read)
    assert call["subject"] == NOTE.subject
    assert call["description"] == NOTE.text
    assert (call["statecode"], call["statuscode"]) == (1, 4)
    assert (call["directioncode"], call["cc_purpose"]) == (False, 100000001)
    assert call["actualstart"] == "2026-09-21T14:13:20Z"
    assert call["_regardingobjectid_value"] == elin
    assert call["phonecall_activity_parties"] == [
        {"participationtypemask": 1, "_partyid_value": elin}
    ]


async def test_the_phone_call_record_of_an_unknown_caller_has_no_person(dataverse, notes):
    note = replace(NOTE, purpose="", purpose_code="", no_note_reason="silent")
    await notes.deliver(note, FIRST)
    row, parties = call_of(dataverse)
    assert (row["_regardingobjectid_value"], parties) == (None, [])
    assert (row["subject"], row["cc_purpose"]) == (note.subject, None)
    assert "No note needed: the caller was silent" in row["description"]


async def test_an_account_can_be_the_caller(dataverse, client):
    account = dataverse.add("accounts", name="Fictitious Ltd")
    notes = DataverseNotes(settings(dataverse.url, "accounts"), client)
    await notes.deliver(replace(NOTE, person_id=account), FIRST)
    row, parties = call_of(dataverse)
    assert (row["_regardingobjectid_value"], parties) == (account, [account])
    assert row["cc_purpose"] is None


async def test_a_later_version_changes_the_completed_phone_call_and_its_person(dataverse, notes):
    elin, bob = (dataverse.add("contacts", firstname=name) for name in ("Elin", "Bob"))
    await notes.deliver(replace(NOTE, person_id=elin), FIRST)
    second = replace(NOTE, version=2, person_id=bob, notes="Other")
    await notes.deliver(second, EarlierDelivery(1, str(NOTE.note_id)))
    row, parties = call_of(dataverse)
    assert row["description"].endswith("\n\nOther")
    assert (row["statecode"], row["statuscode"]) == (1, 4)
    assert (row["_regardingobjectid_value"], parties) == (bob, [bob])
    third = replace(second, version=3, person_id="")
    await notes.deliver(third, EarlierDelivery(2, str(NOTE.note_id)))
    row, parties = call_of(dataverse)
    assert (row["_regardingobjectid_value"], parties) == (None, [])


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize(("version", "step"), [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (2, 4)])
async def test_a_delivery_after_an_interrupted_delivery_writes_the_version_once(
    dataverse, notes, version, step, how
):
    elin = dataverse.add("contacts", firstname="Elin")
    earlier = FIRST
    if version == 2:
        await notes.deliver(NOTE, FIRST)
        earlier = EarlierDelivery(1, str(NOTE.note_id))
    note = replace(NOTE, version=version, person_id=elin, notes="Newest")
    dataverse.broken = {len(dataverse.received) + step: how}
    with pytest.raises(ServerError):
        await notes.deliver(note, earlier)
    await notes.deliver(note, replace(earlier, uncertain=True))
    row, parties = call_of(dataverse)
    assert row["description"].endswith("\n\nNewest")
    assert (row["statecode"], row["statuscode"], parties) == (1, 4, [elin])


async def test_a_later_version_does_not_create_a_deleted_phone_call_again(dataverse, notes):
    await notes.deliver(NOTE, FIRST)
    dataverse.rows["phonecalls"].clear()
    with pytest.raises(NoteRefusedError, match=r"^the server answers 404 \(0x80040217\)$"):
        await notes.deliver(replace(NOTE, version=2), EarlierDelivery(1, str(NOTE.note_id)))
    assert dataverse.rows["phonecalls"] == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"notes": "Elin " * 500}, "the server answers 400 (0x80044331)"),
        ({"purpose_code": "7"}, "the server answers 400 (0x80048d19)"),
        (
            {"person_id": "5c8a1f7e-0000-4000-8000-000000000009"},
            "the server answers 404 (0x80040217)",
        ),
        ({"person_id": "Elin"}, "the person's id is not an id of Dataverse"),
        ({"person_id": "1)/x(2"}, "the person's id is not an id of Dataverse"),
    ],
)
async def test_a_note_that_dataverse_does_not_accept_is_refused_without_its_text(
    dataverse, notes, changes, reason
):
    with pytest.raises(NoteRefusedError) as caught:
        await notes.deliver(replace(NOTE, **changes), FIRST)
    assert str(caught.value) == reason
    assert dataverse.rows["phonecalls"] == {}


async def test_a_note_is_not_refused_if_a_privilege_is_missing(dataverse, notes):
    dataverse.denied = {"phonecalls"}
    with pytest.raises(ServerError, match=r"403 \(0x80040220\)"):
        await notes.deliver(NOTE, FIRST)


async def test_a_note_is_not_refused_after_a_retry_after_or_a_revoked_token(dataverse, notes):
    dataverse.throttled = 17
    with pytest.raises(ServerBusyError) as caught:
        await notes.deliver(NOTE, FIRST)
    assert caught.value.seconds == 17
    dataverse.throttled = None
    dataverse.revoke_tokens()
    with pytest.raises(ServerError, match=r"refuses the credentials \(401\)"):
        await notes.deliver(NOTE, FIRST)


async def test_no_log_has_the_text_of_a_note(notes, caplog):
    caplog.set_level(logging.DEBUG)
    await notes.deliver(NOTE, FIRST)
    assert "Monday" not in caplog.text
    assert "CT-7" not in caplog.text


@pytest.mark.parametrize("status", ["500 Oops", "503 Unavailable", "408 Timeout", "302 Found"])
async def test_a_note_is_not_refused_after_an_error_of_the_server(client, status):
    server = HttpServer()
    await server.start()
    server.answers = [answer({"error": {"code": "0x80040216"}}, status)]
    notes = DataverseNotes(settings(server.url), client)
    with pytest.raises(ServerError):
        await notes.deliver(NOTE, FIRST)
    await server.stop()


@examined(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(st.fixed_dictionaries({name: st.text(max_size=40) for name in ("line", "purpose", "notes")}))
async def test_any_notes_reach_dataverse_unchanged_with_a_subject_of_at_most_200_characters(
    dataverse, notes, texts
):
    dataverse.rows["phonecalls"].clear()
    await notes.deliver(replace(NOTE, **texts), FIRST)
    row, _ = call_of(dataverse)
    assert not texts["notes"] or row["description"].endswith(texts["notes"])
    assert len(row["subject"]) <= 200
