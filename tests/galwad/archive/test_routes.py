"""Recordings over the HTTP API: indexed, searched, shown, and fetched as sealed files.

Covers `galwad/archive/files.py`, `galwad/archive/desk_socket.py` and `galwad/host/bodies.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
from zoneinfo import ZoneInfo

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from galwad.link import Link
from galwad.messages import Hello
from helpers.desk import changed
from recording.archive.manifest import FORMAT, Gap, Manifest, sign_manifest
from recording.audit.log import verify
from recording.files.atomic import zero_fill
from recording.index.catalogue import add_fetch_reference
from recording.index.tables import recordings


def manifest_of(sealed, **more):
    """A signed manifest of the recording, with most fields empty."""
    lists = ("tracks", "segments", "gaps", "unexplained", "faults", "lives", "clock", "recipients")
    facts = {
        **{key: [] for key in lists},
        **dict.fromkeys(("node", "software", "started", "sealed"), ""),
        **dict.fromkeys(("interrupted", "damaged"), False),
        "format": FORMAT,
        "call_id": sealed.call_id,
        "started_us": 0,
        "talk_us": sealed.talk_us,
        "rate": 8000,
        "recipients_serial": 1,
        "payload": {"size": sealed.payload_size, "sha256": sealed.payload_sha256},
        **more,
    }
    return sign_manifest(msgspec.convert(facts, Manifest), Ed25519PrivateKey.generate())


SEARCH = "/api/v1/recordings/search"
WHY = {"purpose": "complaint", "reference": "CMP-12"}


async def test_a_sealed_recording_is_indexed_before_it_is_acknowledged(running, sealed):
    gap = Gap(10, 20, "payment", "page", "user:sian")
    sealed = msgspec.structs.replace(sealed, gaps=(gap,))
    assert (await running.seal(sealed)).call_id == sealed.call_id
    assert (await running.seal(sealed)).call_id == sealed.call_id
    mair = await running.page("mair")
    page = (await mair.http.post(SEARCH, json={"number": "01632 960001"})).json()
    assert [row["call_id"] for row in page["rows"]] == [sealed.call_id]
    assert page["rows"][0]["number"] == "+441632960001"
    assert page["rows"][0]["gaps"][0]["reason"] == "payment"
    assert (await mair.http.post(SEARCH, json={"gap_reason": "fault"})).json()["rows"] == []
    assert len((await mair.http.get("/api/v1/recordings")).json()["rows"]) == 1


NAMELESS = {"number": None, "line": "", "advisor": "", "extension": "", "personal": False}


async def rows(mair):
    return (await mair.http.get("/api/v1/recordings")).json()["rows"]


async def test_resealing_without_names_keeps_the_names_in_the_index(running, sealed):
    """The spool is from before a reboot, but the index already had the names of the call."""
    await running.seal(sealed)
    again = msgspec.structs.replace(sealed, **NAMELESS)
    assert (await running.seal(again)).call_id == sealed.call_id
    (row,) = await rows(await running.page("mair"))
    assert (row["number"], row["line"], row["advisor"]) == ("+441632960001", "Council Tax", "sian")


async def test_a_recording_with_locked_names_is_indexed_but_not_acknowledged(running, sealed):
    nameless = msgspec.structs.replace(sealed, **NAMELESS)
    mair = await running.page("mair")
    await mair.open()
    other = msgspec.structs.replace(sealed, call_id="20261125-101500-bcdefghi")
    # repeated: it has a row now, but still no names
    assert (await running.seal(nameless, nameless, other)).call_id == other.call_id
    alarm = await mair.event("alarm")
    assert (alarm["kind"], alarm["call_id"]) == ("recording.locked", sealed.call_id)
    numbers = {row["call_id"]: row["number"] for row in await rows(mair)}
    assert numbers == {sealed.call_id: None, other.call_id: "+441632960001"}
    assert (await running.seal(sealed)).call_id == sealed.call_id
    assert {row["number"] for row in await rows(mair)} == {"+441632960001"}


async def test_a_stopping_desk_finishes_the_index_entry_that_it_began(running, sealed):
    begun, let = asyncio.Event(), asyncio.Event()
    before = running.desk.host.audit.append_after

    async def slowly(work):
        begun.set()
        await let.wait()
        await before(work)

    running.desk.host.audit.append_after = slowly
    link = Link(*await asyncio.open_unix_connection(running.settings.desk_socket))
    for message in (Hello("finaliser", "0"), sealed, sealed):
        link.send(message)
    await begun.wait()
    stopping = asyncio.create_task(running.stop())
    assert await link.receive() is None
    done, _ = await asyncio.wait([stopping], timeout=0.2)
    assert not done
    let.set()
    await stopping
    await link.close()
    await running.start()
    assert len(await rows(await running.page("mair"))) == 1


async def test_fetch_streams_header_and_payload_after_the_audit_entry(running, sealed):
    await running.seal(sealed)
    gwen = await running.page("gwen")
    reply = await gwen.http.post(f"/api/v1/recordings/{sealed.call_id}/fetch", json=WHY)
    assert reply.status_code == 200
    length = int(reply.headers["x-galwad-header-length"])
    assert reply.content[:length].startswith(b"age-encryption.org/v1\n")
    assert reply.content[length:] == bytes(range(256)) * 1000
    entry = (await running.desk.host.audit.entries())[-1]
    assert entry.kind == "recording.fetched"
    assert entry.facts["purpose"] == "complaint"
    assert entry.personal == {"actor": "user:gwen", "reference": "CMP-12"}
    by_reference = await gwen.http.post(SEARCH, json={"reference": "CMP-12"})
    assert len(by_reference.json()["rows"]) == 1
    assert (await verify(running.desk.host.engine, "galwad")).is_clean


async def test_a_header_that_is_replaced_during_a_fetch_arrives_whole(running, sealed, monkeypatch):
    """The rewrap overwrites the old header, also for a process that has it open."""
    await running.seal(sealed)
    gwen = await running.page("gwen")
    path = running.archive / sealed.folder / f"{sealed.call_id}.header"
    append = running.desk.host.audit.append

    async def rewrapped_meanwhile(kind, *more):
        if kind == "recording.fetched":
            new = path.with_suffix(".new")
            new.write_bytes(b"age-encryption.org/v1\n--- new\n")
            with path.open("r+b", buffering=0) as old:
                new.rename(path)
                zero_fill(old)
        return await append(kind, *more)

    monkeypatch.setattr(running.desk.host.audit, "append", rewrapped_meanwhile)
    reply = await gwen.http.post(f"/api/v1/recordings/{sealed.call_id}/fetch", json=WHY)
    assert reply.content.startswith(b"age-encryption.org/v1\n--- mac\n\x00\x01\x02")


async def test_undecoded_packets_are_listed_and_fetched_with_their_own_digest(running, sealed):
    folder = running.archive / sealed.folder
    raw = bytes(range(256)) * 7
    (folder / f"{sealed.call_id}.raw").write_bytes(raw)
    facts = {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest(), "packets": 3}
    manifest = manifest_of(sealed, raw=facts)
    (folder / f"{sealed.call_id}.manifest").write_bytes(manifest)
    digest = hashlib.sha256(manifest).hexdigest()
    await running.seal(msgspec.structs.replace(sealed, raw_size=len(raw), manifest_sha256=digest))
    gwen = await running.page("gwen")
    assert [row["raw_size"] for row in await rows(gwen)] == [len(raw)]
    url = f"/api/v1/recordings/{sealed.call_id}/fetch"
    reply = await gwen.http.post(url, json={**WHY, "raw": True})
    assert reply.status_code == 200
    assert reply.content[int(reply.headers["x-galwad-header-length"]) :] == raw
    assert reply.headers["x-galwad-payload-sha256"] == facts["sha256"]
    assert f"{sealed.call_id}.pcapng.age" in reply.headers["content-disposition"]
    entry = (await running.desk.host.audit.entries())[-1]
    assert entry.facts["raw_sha256"] == facts["sha256"]
    (folder / f"{sealed.call_id}.manifest").write_bytes(manifest + b" ")
    assert (await gwen.http.post(url, json={**WHY, "raw": True})).status_code == 409


async def test_fetching_raw_packets_of_a_fully_decoded_recording_gives_404(running, sealed):
    await running.seal(sealed)
    gwen = await running.page("gwen")
    url = f"/api/v1/recordings/{sealed.call_id}/fetch"
    assert (await gwen.http.post(url, json={**WHY, "raw": True})).status_code == 404


async def test_nothing_is_fetched_if_the_audit_cannot_be_written(running, sealed):
    await running.seal(sealed)
    gwen = await running.page("gwen")
    async with running.desk.host.engine.begin() as connection:
        await connection.exec_driver_sql("DROP TABLE audit_values")
    reply = await gwen.http.post(f"/api/v1/recordings/{sealed.call_id}/fetch", json=WHY)
    assert reply.status_code == 503
    assert reply.json()["error"].startswith("the audit cannot be written")
    assert b"age-encryption" not in reply.content


async def test_a_reference_with_control_characters_is_refused_and_not_echoed(running, sealed):
    gwen = await running.page("gwen")
    url = f"/api/v1/recordings/{sealed.call_id}/fetch"
    for mark in ("\r\n", "\n", "\r", "\0", "\x1b[2J", "\x7f", "\x85", "\u2028"):
        reply = await gwen.http.post(url, json={**WHY, "reference": f"C-1{mark}forged=1"})
        assert reply.status_code == 422, repr(mark)
        assert "reference" in reply.json()["hint"], repr(mark)
        assert "forged" not in reply.text, repr(mark)
    assert not [e for e in await running.desk.host.audit.entries() if e.kind == "recording.fetched"]


async def test_fetch_needs_a_known_purpose_a_reference_and_a_role(running, sealed):
    await running.seal(sealed)
    url = f"/api/v1/recordings/{sealed.call_id}/fetch"
    sian, mair = await running.page("sian"), await running.page("mair")
    assert (await sian.http.post(url, json=WHY)).status_code == 403
    assert (await mair.http.post(url, json={**WHY, "purpose": "curiosity"})).status_code == 422
    assert (await mair.http.post(url, json={**WHY, "reference": "  "})).status_code == 422
    assert (await mair.http.post(url, json={**WHY, "purpose": "crime"})).status_code == 403
    assert (await mair.http.post(url, json=WHY)).status_code == 200
    assert (await running.client().post(url, json=WHY)).status_code == 401


async def test_an_invalid_or_unknown_call_id_gives_404(running, sealed):
    gwen = await running.page("gwen")
    for name in ("..%2F..%2Fdesk%2Fgalwad.db", "20261125-101500-ABCDEFGH", sealed.call_id):
        reply = await gwen.http.post(f"/api/v1/recordings/{name}/fetch", json=WHY)
        assert reply.status_code == 404
        assert set(reply.json()) == {"error", "hint"}


async def test_fetching_a_missing_or_truncated_payload_gives_409(running, sealed):
    await running.seal(sealed)
    gwen = await running.page("gwen")
    url = f"/api/v1/recordings/{sealed.call_id}/fetch"
    payload = running.archive / sealed.folder / f"{sealed.call_id}.payload"
    payload.write_bytes(b"short")
    assert (await gwen.http.post(url, json=WHY)).status_code == 409
    payload.unlink()
    assert (await gwen.http.post(url, json=WHY)).status_code == 409
    assert not [e for e in await running.desk.host.audit.entries() if e.kind == "recording.fetched"]


async def test_showing_a_recording_returns_its_row_and_manifest(running, sealed):
    await running.seal(sealed)
    mair = await running.page("mair")
    shown = (await mair.http.get(f"/api/v1/recordings/{sealed.call_id}")).json()
    assert shown["recording"]["talk_s"] == 60
    assert shown["manifest"] == '{"call_id":"x"}'


async def test_a_row_in_the_api_omits_internal_columns_and_adds_computed_fields(running, sealed):
    await running.seal(sealed)
    (row,) = await rows(await running.page("mair"))
    columns = set(recordings.c.keys())
    assert columns - set(row) == {"folder", "talk_us", "unexplained_us", "salt"}
    own = {"talk_s", "unexplained_s", "custody", "captured_card", "named"}
    lists = {"gaps", "flags", "unexplained", "network", "later_callers", "later_advisors"}
    assert set(row) - columns == own | lists


async def test_unexplained_talk_time_of_a_sealed_recording_raises_an_alarm(running, sealed):
    mair = await running.page("mair")
    await mair.open()
    await running.seal(msgspec.structs.replace(sealed, unexplained_us=2_000_000))
    alarm = await mair.event("alarm")
    assert (alarm["kind"], alarm["call_id"]) == ("recording.unexplained", sealed.call_id)


async def test_undecoded_packets_are_counted_in_the_metrics(running, sealed):
    undecoded = msgspec.structs.replace(sealed, raw_size=400, undecoded=3)
    await running.seal(undecoded)
    await running.seal(msgspec.structs.replace(undecoded, call_id="20260301-100000-abcdefgh"))
    assert "galwad_desk_undecoded_packets_total 6.0" in running.desk.host.metrics.text().decode()


async def test_a_call_that_the_desk_missed_still_gets_an_open_note(running, sealed):
    sian = await running.page("sian")
    await sian.open()
    await running.seal(sealed)
    pop = await sian.event("call", lambda pop: pop["recording_link"] is not None)
    assert pop["state"] == "wrapup"
    assert pop["recording_link"] == f"/api/v1/recordings/{sealed.call_id}"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("since", 1e300, " (must be text"),
        ("until", -1.0, " (must be text"),
        ("min_length_s", 1e300, " (must be at most "),
        ("max_length_s", -1.0, " (must be at least 0)"),
        ("limit", 501, " (must be at most 500)"),
        ("after", "0/../../x", ""),
    ],
)
async def test_a_search_value_out_of_range_is_refused(running, field, value, expected):
    mair = await running.page("mair")
    reply = await mair.http.post(SEARCH, json={field: value})
    assert reply.status_code == 422
    assert f"body.{field}{expected}" in reply.json()["hint"]


async def test_an_overlong_search_text_is_refused_with_the_limit(running):
    mair = await running.page("mair")
    for length, hint in ((200, None), (201, "look at: body.line (at most 200 characters)")):
        reply = await mair.http.post(SEARCH, json={"line": "x" * length})
        assert reply.json().get("hint") == hint


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_a_search_value_of_nan_or_infinity_is_refused(running, number):
    mair = await running.page("mair")
    body = f'{{"min_length_s": {number}}}'
    headers = {"Content-Type": "application/json"}
    reply = await mair.http.post(SEARCH, content=body, headers=headers)
    assert reply.status_code == 422


async def found(mair, **query):
    reply = await mair.http.post(SEARCH, json=query)
    assert reply.status_code == 200, reply.text
    return [row["call_id"][-1] for row in reply.json()["rows"]]


async def test_each_search_filter_selects_the_right_recording(running, sealed):
    """`b` is an hour after `a`: at 09:00 in London on 15 January 2027."""
    gap = Gap(10, 20, "payment", "page", "user:sian")
    changes = {"started": sealed.started + 3600, "number": None, "line": "Waste"}
    changes |= {"advisor": "huw", "extension": "202"}
    call_id = sealed.call_id[:-1] + "b"
    other = msgspec.structs.replace(
        sealed, **changes, call_id=call_id, talk_us=90_000_000, gaps=(gap,)
    )
    for each in (msgspec.structs.replace(sealed, call_id=sealed.call_id[:-1] + "a"), other):
        await running.seal(each)
    running.desk.host.settings = changed(
        running.desk.host.settings, desk={"time_zone": ZoneInfo("Europe/London")}
    )
    mair = await running.page("mair")
    async with running.desk.host.engine.begin() as connection:
        await add_fetch_reference(connection, call_id, "CMP-12")
    assert await found(mair) == ["b", "a"]
    for query, expected in (
        ({"number": "01632 960001"}, "a"),
        ({"advisor": "huw"}, "b"),
        ({"extension": "202"}, "b"),
        ({"line": "Waste"}, "b"),
        ({"line": "wASTE"}, "b"),
        ({"advisor": "Huw"}, "b"),
        ({"since": sealed.started + 1}, "b"),
        ({"until": "2027-01-15T09:00"}, "a"),
        ({"when": "2027-01-15T09:00"}, "b"),
        ({"when": "2027-01-15", "since": "2027-01-15T08:30"}, "b"),
        ({"when": "2027-01", "until": "2027-01-15T08:30"}, "a"),
        ({"min_length_s": 61}, "b"),
        ({"max_length_s": 60}, "a"),
        ({"gap_reason": "payment"}, "b"),
        ({"reference": "CMP-12"}, "b"),
    ):
        assert await found(mair, **query) == [expected], query
    entry = (await running.desk.host.audit.entries())[-1]
    assert (entry.kind, entry.facts) == ("recordings.searched", {"by": "reference"})


async def test_search_filters_that_exclude_each_other_are_refused(running, sealed):
    """An empty result must mean that no recording matches."""
    await running.seal(sealed)
    mair = await running.page("mair")
    for query in (
        {"since": "2027-02-01", "until": "2027-01-01"},
        {"since": "2027-01-15", "until": "2027-01-15"},
        {"when": "2027-01", "since": "2027-02-01"},
        {"when": "2027-01", "until": 0},
        {"min_length_s": 61, "max_length_s": 60},
    ):
        reply = await mair.http.post(SEARCH, json=query)
        assert reply.status_code == 422, query
        assert "`" in reply.json()["error"], query
        assert reply.json()["hint"]
    for query in (
        {"since": "2027-01-15", "until": "2027-01-16"},
        {"when": "2027-01", "since": "2027-01-15"},
        {"min_length_s": 60, "max_length_s": 60},
    ):
        assert len(await found(mair, **query)) == 1, query


async def test_days_in_a_search_are_in_the_centres_time_zone(running, sealed):
    """The call began at 08:00 in London, when Pago Pago still had the day before."""
    await running.seal(sealed)
    mair = await running.page("mair")
    for zone, day in (
        ("Europe/London", "2027-01-15"),
        ("Pacific/Kiritimati", "2027-01-15"),
        ("Pacific/Pago_Pago", "2027-01-14"),
    ):
        running.desk.host.settings = changed(
            running.desk.host.settings, desk={"time_zone": ZoneInfo(zone)}
        )
        days = ("2027-01-14", "2027-01-15", "2027-01-16")
        assert [d for d in days if await found(mair, when=d)] == [day], zone


async def test_an_unreadable_time_in_a_search_is_refused(running):
    mair = await running.page("mair")
    for field in ("when", "since", "until"):
        reply = await mair.http.post(SEARCH, json={field: "once upon a time"})
        error = f"cannot read the time in `{field}`"
        assert (reply.status_code, reply.json()["error"]) == (422, error)


async def test_search_pages_follow_each_other_without_gaps(running, sealed):
    for letter in "abc":
        await running.seal(msgspec.structs.replace(sealed, call_id=sealed.call_id[:-1] + letter))
    mair = await running.page("mair")
    seen: list[str] = []
    after: dict[str, str] | None = {}
    while after is not None:
        reply = (await mair.http.post(SEARCH, json={"limit": 1, **after})).json()
        seen += [row["call_id"][-1] for row in reply["rows"]]
        after = {"after": reply["after"]} if reply["after"] else None
    assert seen == ["c", "b", "a"]
