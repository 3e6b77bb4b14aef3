"""The presence of advisors over HTTP: who may see it, set it, and what each page receives.

Covers `galwad/calls/presence/states.py`.
"""

import asyncio

import pytest

from galwad.messages import Party, PhonesRegistered, RegisteredPhone, SetAway
from galwad.settings.desk import PresenceSection
from helpers.desk import changed, until
from recording.audit.log import AuditFilter

URL = "/api/v1/presence"
LUNCH = {"state": "break", "reason": "lunch"}
AVAILABLE = {"state": "available"}


@pytest.fixture
async def listed(running):
    """The desk, after it has read the users that the fixture `running` has added."""
    await running.desk.calls.presence.read_users()
    return running


def about(user, **facts):
    """Return a condition: an event says this about the user."""

    def says(news):
        found = [each for each in news["advisors"] if each["user"] == user]
        return any(facts.items() <= each.items() for each in found)

    return says


async def test_a_break_is_sent_to_the_users_pages_and_to_supervisors_but_not_to_a_colleague(listed):
    sian, other_tab, mair, huw = [
        await listed.page(name) for name in ("sian", "sian", "mair", "huw")
    ]
    for page in (sian, other_tab, mair, huw):
        await page.open()
    reply = await sian.http.put(URL, json=LUNCH)
    assert reply.status_code == 200
    assert (reply.json()["state"], reply.json()["reason"]) == ("break", "lunch")
    for page in (other_tab, mair):
        await page.event("presence", about("sian", state="break", reason="lunch"))
    await huw.http.put(URL, json=LUNCH)
    await huw.event("presence", about("huw", state="break"))
    news = [data for kind, _, data in huw.seen if kind == "presence"]
    assert {each["user"] for data in news for each in data["advisors"]} == {"huw"}


async def test_a_snapshot_has_the_users_own_presence_and_for_a_supervisor_that_of_all_advisors(
    listed,
):
    sian, mair, gwen = [await listed.page(name) for name in ("sian", "mair", "gwen")]
    await sian.http.put(URL, json=LUNCH)
    await until(lambda: listed.desk.calls.presence.away == ("sian",))
    own = await sian.open()
    assert [(each["user"], each["state"]) for each in own["presence"]] == [("sian", "break")]
    assert [each["code"] for each in own["texts"]["break_reasons"]][:2] == ["break", "lunch"]
    assert own["break_reasons"] == own["texts"]["break_reasons"]  # for pages before the upgrade
    assert own["break_reminder"] == 3600
    for page in (mair, gwen):
        assert [each["user"] for each in (await page.open())["presence"]] == ["huw", "sian"]


async def test_an_advisor_a_machine_and_a_stranger_cannot_read_or_set_the_presence_of_others(
    listed,
):
    sian = await listed.page("sian")
    machine = await listed.machine("pay", "payments", "metrics")
    nobody = listed.client(headers={"Origin": listed.url})
    for client, status in ((sian.http, 403), (machine, 403), (nobody, 401)):
        assert (await client.get(URL)).status_code == status
        assert (await client.put(f"{URL}/huw", json=LUNCH)).status_code == status
    assert (await machine.put(URL, json=LUNCH)).status_code == 403
    assert (await nobody.put(URL, json=LUNCH)).status_code == 401
    assert listed.desk.calls.presence.away == ()


async def test_a_supervisor_sets_an_advisors_presence_and_the_audit_says_who_did(listed):
    mair = await listed.page("mair")
    reply = await mair.http.put(f"{URL}/sian", json=LUNCH)
    assert (reply.json()["state"], reply.json()["set_by"]) == ("break", "mair")
    await mair.http.put(f"{URL}/sian", json=AVAILABLE)
    assert await audited(listed.desk) == [
        ({"state": "available"}, {"actor": "user:mair", "user": "sian", "reason": ""}),
        ({"state": "break"}, {"actor": "user:mair", "user": "sian", "reason": "lunch"}),
    ]


async def test_a_users_own_choice_is_not_audited(listed):
    sian = await listed.page("sian")
    await sian.http.put(URL, json=LUNCH)
    assert await audited(listed.desk) == []


async def audited(desk):
    """Return the public and the personal facts of each audited change, the newest first."""
    entries = await desk.host.audit.search(AuditFilter(kind="presence.set"), limit=9)
    values = [{name: value for name, (_, value) in each.values.items()} for each in entries]
    return [(each.facts, personal) for each, personal in zip(entries, values, strict=True)]


@pytest.mark.parametrize("reason", ["", "holiday"])
async def test_a_break_needs_a_reason_of_the_settings(listed, reason):
    sian = await listed.page("sian")
    reply = await sian.http.put(URL, json={"state": "break", "reason": reason})
    assert (reply.status_code, reply.json()["error"]) == (
        422,
        "this break has no `reason`" if not reason else "this break has an unknown `reason`",
    )
    assert "lunch" in reply.json()["hint"]


async def test_a_break_needs_no_reason_if_the_settings_have_none(listed):
    await listed.stop()
    listed.settings = changed(listed.settings, presence=PresenceSection(break_reasons=()))
    await listed.start()
    sian = await listed.page("sian")
    assert (await sian.http.put(URL, json={"state": "break"})).json()["state"] == "break"
    assert (await sian.http.put(URL, json=LUNCH)).status_code == 422


@pytest.mark.parametrize("body", [{}, {"state": "on_call"}, {"state": "break", "since": 1}])
async def test_a_body_without_a_valid_choice_of_presence_gets_422(listed, body):
    sian = await listed.page("sian")
    assert (await sian.http.put(URL, json=body)).status_code == 422


async def test_a_user_without_a_phone_has_no_presence(listed):
    mair = await listed.page("mair")
    assert (await mair.http.put(URL, json=LUNCH)).status_code == 409
    for name in ("gwen", "nobody"):
        assert (await mair.http.put(f"{URL}/{name}", json=LUNCH)).status_code == 404


async def test_the_list_shows_phones_pages_and_the_line_of_a_call(listed):
    mair = await listed.page("mair")
    await listed.answered("20261125-101500-aaaaaaaa")
    phones = (RegisteredPhone(Party("201", "sian"), 2),)
    listed.switch.link.send(PhonesRegistered(phones, complete=True))
    await until(lambda: any(each.devices == 2 for each in listed.desk.calls.presence.all()))
    huw, sian = await listing(mair)
    assert (huw["state"], huw["devices"], huw["page"]) == ("offline", 0, False)
    assert (sian["state"], sian["line"]) == ("on_call", "Council Tax")
    assert (sian["extension"], sian["devices"], sian["page"]) == ("201", 2, True)


async def listing(page):
    return (await page.http.get(URL)).json()


async def test_the_switch_is_notified_who_is_away_and_again_when_a_lost_link_returns(listed):
    sian = await listed.page("sian")
    await listed.switch.until(SetAway)
    await sian.http.put(URL, json=LUNCH)
    assert (await listed.switch.until(SetAway, 2))[-1] == SetAway(("sian",))
    await listed.switch.stop()
    await listed.switch.start()
    assert (await listed.switch.until(SetAway, 3))[-1] == SetAway(("sian",))


async def test_a_switch_of_an_earlier_release_receives_no_message_that_it_does_not_know(listed):
    listed.switch.version = ""
    links = len(listed.switch.received)
    await listed.switch.stop()
    await listed.switch.start()
    sian = await listed.page("sian")
    await until(lambda: len(listed.switch.received) > links and listed.desk.host.switch.connected)
    before = len(listed.switch.of(SetAway))
    await sian.http.put(URL, json=LUNCH)
    await until(lambda: listed.desk.calls.presence.away == ("sian",))
    assert len(listed.switch.of(SetAway)) == before


async def test_a_break_is_still_there_after_a_restart_of_the_desk_and_a_sign_out(listed):
    sian = await listed.page("sian")
    await sian.http.put(URL, json=LUNCH)
    assert (await sian.http.post("/api/v1/logout", json={})).status_code == 204
    await listed.stop()
    await listed.start()
    assert listed.desk.calls.presence.away == ("sian",)
    mair = await listed.page("mair")
    assert [each["state"] for each in await listing(mair)] == ["offline", "break"]


@pytest.mark.slow  # each change is brought to the disk
async def test_two_hundred_changes_in_a_burst_are_all_acknowledged_and_the_last_one_counts(listed):
    sian, huw, mair = [await listed.page(name) for name in ("sian", "huw", "mair")]
    await mair.open()

    async def change(page, times):
        for turn in range(times):
            reply = await page.http.put(URL, json=AVAILABLE if turn % 2 else LUNCH)
            assert reply.status_code == 200

    await asyncio.gather(change(sian, 101), change(huw, 100))
    await until(lambda: listed.desk.calls.presence.away == ("sian",), 60)
    huws, sians = await listing(mair)
    assert (sians["state"], huws["on_break"]) == ("break", False)


async def test_the_metrics_count_users_by_their_state(listed):
    sian = await listed.page("sian")
    await sian.http.put(URL, json=LUNCH)
    await until(lambda: listed.desk.calls.presence.away == ("sian",))
    text = (await sian.http.get("/api/v1/metrics")).text
    assert 'galwad_desk_users{state="break"} 1.0' in text
    assert 'galwad_desk_users{state="offline"} 1.0' in text
    assert "sian" not in text
