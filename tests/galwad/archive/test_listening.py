"""Listening on the page: an audit entry, the header, and parts of the encrypted payload."""

from __future__ import annotations

import base64

import pytest

WHY = {"purpose": "complaint", "reference": "CMP-12"}
PAYLOAD = bytes(range(256)) * 1000


@pytest.fixture
def url(sealed):
    return f"/api/v1/recordings/{sealed.call_id}"


async def listen(page, url, **why):
    reply = await page.http.post(f"{url}/listen", json={**WHY, **why})
    assert reply.status_code == 200
    return reply.json()


async def part(page, url, entry, range_="bytes=0-9"):
    return await page.http.get(f"{url}/payload?entry={entry}", headers={"Range": range_})


async def fetches(running):
    return [each for each in await running.desk.host.audit.entries() if "fetched" in each.kind]


async def test_the_header_follows_the_audit_entry_and_each_part_names_the_entry(
    running, sealed, url
):
    await running.seal(sealed)
    mair = await running.page("mair")
    opened = await listen(mair, url)
    (entry,) = await fetches(running)
    assert (entry.seq, entry.kind) == (opened["entry"], "recording.fetched")
    assert (entry.facts["purpose"], entry.facts["client"]) == ("complaint", "page")
    assert entry.personal == {"actor": "user:mair", "reference": "CMP-12"}
    assert base64.b64decode(opened["header"]).startswith(b"age-encryption.org/v1\n")
    assert opened["payload_size"] == len(PAYLOAD)
    assert opened["payload_sha256"] == sealed.payload_sha256
    for first, last, end in ((0, 0, 1), (100, 299, 300), (255_900, 999_999, 256_000)):
        reply = await part(mair, url, opened["entry"], f"bytes={first}-{last}")
        assert (reply.status_code, reply.content) == (206, PAYLOAD[first:end])
        assert reply.headers["content-range"] == f"bytes {first}-{end - 1}/256000"
    assert len(await fetches(running)) == 1


async def test_a_malformed_long_or_outside_range_is_refused(running, sealed, url):
    await running.seal(sealed)
    mair = await running.page("mair")
    entry = (await listen(mair, url))["entry"]
    for range_ in (
        "bytes=-5",
        "bytes=5-",
        "bytes=9-8",
        "bytes=0-1,3-4",
        "bytes=256000-256001",
        "x",
    ):
        assert (await part(mair, url, entry, range_)).status_code == 416, range_
    missing = await mair.http.get(f"{url}/payload?entry={entry}")
    assert missing.status_code == 422


async def test_an_entry_gives_access_only_to_its_user_recording_kind_and_time(
    running, sealed, url, monkeypatch
):
    await running.seal(sealed)
    mair, gwen, sian = [await running.page(name) for name in ("mair", "gwen", "sian")]
    entry = (await listen(mair, url))["entry"]
    assert (await part(mair, url, entry)).status_code == 206
    assert (await part(gwen, url, entry)).status_code == 403
    assert (await part(sian, url, entry)).status_code == 403
    assert (await part(mair, url, entry - 1)).status_code == 403
    assert (await part(mair, url, entry + 1000)).status_code == 403
    other = url.replace("abcdefgh", "bcdefghi")
    assert (await part(mair, other, entry)).status_code == 403
    clock = running.desk.host.audit.clock
    monkeypatch.setattr(running.desk.host.audit, "clock", lambda: clock() + 4 * 3600)
    late = await part(mair, url, entry)
    assert (late.status_code, late.json()["hint"]) == (403, "state the purpose again")


async def test_the_purpose_the_role_and_the_reference_are_those_of_a_fetch(running, sealed, url):
    await running.seal(sealed)
    sian, mair, gwen = [await running.page(name) for name in ("sian", "mair", "gwen")]
    for page, why, status in (
        (sian, WHY, 403),
        (mair, {**WHY, "purpose": "crime"}, 403),
        (mair, {**WHY, "purpose": "curiosity"}, 422),
        (mair, {**WHY, "reference": " "}, 422),
        (mair, {**WHY, "reference": "4929 0000 0000 6"}, 422),
    ):
        assert (await page.http.post(f"{url}/listen", json=why)).status_code == status, why
    assert await fetches(running) == []
    reply = await gwen.http.post(f"{url}/listen", json={**WHY, "purpose": "crime"})
    hint = "`galwad disclosures open` asks for one"
    assert (reply.status_code, reply.json()["hint"].startswith(hint)) == (403, True), reply.text
    assert (await listen(gwen, url, purpose="legal-claim"))["entry"]
    of_mair, of_gwen = [(await each.http.get(url)).json()["purposes"] for each in (mair, gwen)]
    assert {*of_gwen} - {*of_mair} == {
        "legal-claim",
        "legal-disclosure",
        "crime",
        "vital-interests",
    }


async def test_nothing_is_sent_of_a_disposed_or_truncated_recording(running, sealed, url):
    await running.seal(sealed)
    mair = await running.page("mair")
    entry = (await listen(mair, url))["entry"]
    folder = running.archive / sealed.folder
    (folder / f"{sealed.call_id}.payload").write_bytes(b"short")
    assert (await part(mair, url, entry)).status_code == 409
    assert (await mair.http.post(f"{url}/listen", json=WHY)).status_code == 409
    (folder / f"{sealed.call_id}.disposal").write_text("{}")
    assert (await part(mair, url, entry)).status_code == 410
    assert (await mair.http.post(f"{url}/listen", json=WHY)).status_code == 410
    assert len(await fetches(running)) == 1
