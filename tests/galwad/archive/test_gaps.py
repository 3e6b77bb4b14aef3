"""The gaps of a recording over the HTTP API: each with its cause and its audit entries.

Real pauses are made on the page and by a payment system; the manifest has them at their real times.
"""

from __future__ import annotations

import hashlib

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.archive.manifest import FORMAT, Gap, Interval, Manifest, sign_manifest

CALL = "20261125-101500-abcdefgh"
URL = f"/api/v1/recordings/{CALL}/gaps"
US = 1_000_000


async def entries(running, kind):
    return [each for each in await running.desk.host.audit.entries() if each.kind == kind]


async def index(running, sealed, started_us, gaps, *, talk_us=600 * US, unexplained=()):
    """Store and index a recording with these gaps and unexplained parts."""
    lists = ("tracks", "segments", "faults", "lives", "clock", "recipients")
    facts = {
        **{key: [] for key in lists},
        **dict.fromkeys(("node", "software", "started", "sealed"), ""),
        **dict.fromkeys(("interrupted", "damaged"), False),
        "format": FORMAT,
        "call_id": CALL,
        "started_us": started_us,
        "talk_us": talk_us,
        "rate": 8000,
        "recipients_serial": 1,
        "payload": {"size": sealed.payload_size, "sha256": sealed.payload_sha256},
        "gaps": [msgspec.to_builtins(gap) for gap in gaps],
        "unexplained": [msgspec.to_builtins(part) for part in unexplained],
    }
    data = sign_manifest(msgspec.convert(facts, Manifest), Ed25519PrivateKey.generate())
    (running.archive / sealed.folder / f"{CALL}.manifest").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    row = msgspec.structs.replace(
        sealed,
        started=started_us / US,
        talk_us=talk_us,
        gaps=tuple(gaps),
        unexplained_us=sum(part.length_us for part in unexplained),
        manifest_sha256=digest,
    )
    await running.seal(row)


async def test_a_pause_and_a_resume_on_the_page_have_their_audit_entries(running, sealed):
    sian = await running.answered(CALL)
    pause = f"/api/v1/calls/{CALL}/payment"
    assert (await sian.http.put(pause)).status_code == 200
    assert (await sian.http.delete(pause)).status_code == 200
    (hold,), (release,) = (
        await entries(running, "payment.pause"),
        await entries(running, "payment.resume"),
    )
    started = hold.at_us - 80 * US
    gaps = [
        Gap(80 * US, release.at_us - started + 1, "payment", "page", "user:sian"),
        Gap(500 * US, 600 * US, "transfer", "refer", "phone:201"),
    ]
    await index(running, sealed, started, gaps)
    mair = await running.page("mair")
    found = (await mair.http.get(URL)).json()
    assert (found["signed"], found["talk_us"], found["unexplained_us"]) == (True, 600 * US, 0)
    pause, transfer = found["gaps"]
    assert (pause["proof"], pause["stopped_by"], pause["resumed_by"], pause["then"]) == (
        "entry",
        hold.seq,
        release.seq,
        "recorded",
    )
    assert round(pause["began"] * US) == hold.at_us
    (indexed,) = await entries(running, "recording.indexed")
    assert (transfer["proof"], transfer["stopped_by"], transfer["then"]) == (
        "manifest",
        indexed.seq,
        "end",
    )
    (shown,) = await entries(running, "recording.explained")
    assert (shown.facts["call_id"], shown.personal) == (CALL, {"actor": "user:mair"})


async def test_a_pause_of_all_calls_of_an_advisor_by_a_payment_system_is_found_in_the_audit(
    running, sealed
):
    await running.answered(CALL)
    pay = await running.machine("pay", "payments")
    assert (await pay.put("/api/v1/payments", json={"advisor": "sian"})).status_code == 200
    (hold,) = await entries(running, "payment.pause")
    assert hold.facts["call_id"] == ""
    gaps = [Gap(80 * US, 125 * US, "payment", "api", "token:pay")]
    await index(running, sealed, hold.at_us - 80 * US, gaps)
    mair = await running.page("mair")
    (only,) = (await mair.http.get(URL)).json()["gaps"]
    assert (only["proof"], only["stopped_by"], only["resumed_by"]) == ("entry", hold.seq, None)


async def test_an_audit_entry_that_names_other_calls_is_not_among_the_entries_of_a_recording(
    running, sealed
):
    """Otherwise, a person who gets an evidence pack learns when others called."""
    other = CALL.replace("abcdefgh", "bcdefghi")
    for call_id in (CALL, other):
        await running.answered(call_id)
    pay = await running.machine("pay", "payments")
    assert (await pay.put("/api/v1/payments", json={"advisor": "sian"})).status_code == 200
    (hold,) = await entries(running, "payment.pause")
    assert other in hold.facts["calls"]
    gaps = [Gap(80 * US, 125 * US, "payment", "api", "token:pay")]
    await index(running, sealed, hold.at_us - 80 * US, gaps)
    mair = await running.page("mair")
    reply = await mair.http.get(URL)
    assert reply.json()["gaps"][0]["stopped_by"] == hold.seq
    assert other not in reply.text


async def test_a_pause_on_the_page_without_an_audit_entry_has_no_proof(running, sealed):
    gaps = [Gap(80 * US, 125 * US, "payment", "page", "user:sian")]
    await index(running, sealed, 1_800_000_000 * US, gaps)
    mair = await running.page("mair")
    (only,) = (await mair.http.get(URL)).json()["gaps"]
    assert (only["proof"], only["stopped_by"]) == ("missing", None)


async def test_without_a_valid_manifest_the_gaps_are_from_the_index_and_not_signed(running, sealed):
    gaps = [Gap(80 * US, 125 * US, "transfer", "refer", "phone:201")]
    await index(running, sealed, 1_800_000_000 * US, gaps)
    path = running.archive / sealed.folder / f"{CALL}.manifest"
    path.write_bytes(path.read_bytes().replace(b"refer", b"erase"))
    mair = await running.page("mair")
    found = (await mair.http.get(URL)).json()
    assert (found["signed"], found["gaps"][0]["trigger"]) == (False, "refer")
    path.unlink()
    assert (await mair.http.get(URL)).json()["signed"] is False


async def test_an_advisor_gets_no_explanation_and_an_unknown_recording_gives_404(running, sealed):
    await index(running, sealed, 1_800_000_000 * US, [])
    sian, mair = await running.page("sian"), await running.page("mair")
    assert (await sian.http.get(URL)).status_code == 403
    other = "/api/v1/recordings/20261125-101500-zzzzzzzz/gaps"
    assert (await mair.http.get(other)).status_code == 404


async def test_the_row_of_a_recording_has_the_place_of_its_unexplained_parts(running, sealed):
    gap = Gap(80 * US, 125 * US, "payment", "page", "user:sian")
    parts = [Interval(10 * US, 20 * US), Interval(100 * US, 110 * US)]
    await index(running, sealed, 1_800_000_000 * US, [gap], unexplained=parts)
    mair = await running.page("mair")

    async def unexplained():
        (row,) = (await mair.http.get("/api/v1/recordings")).json()["rows"]
        detail = (await mair.http.get(f"/api/v1/recordings/{CALL}")).json()
        assert row["unexplained"] == detail["recording"]["unexplained"]
        assert row["unexplained_s"] == 20
        return [(part["from_us"] // US, part["to_us"] // US) for part in row["unexplained"]]

    assert await unexplained() == [(10, 20), (100, 110)]
    (running.archive / sealed.folder / f"{CALL}.manifest").write_bytes(b"another")
    # Their place is unknown, so all time outside the gap is in doubt.
    assert await unexplained() == [(0, 80), (125, 600)]
