"""The lists of texts over HTTP: who may change them, and where a change takes effect at once."""

from __future__ import annotations

import json

import pytest

from galwad.settings.desk import ContactNotesSection
from galwad.settings.switch import Route
from helpers.desk import changed
from recording.audit.log import AuditFilter

URL = "/api/v1/texts"
PURPOSES = [{"en": "Missed collection", "cy": "Casgliad a fethwyd", "code": "waste-1"}]
TEA = {"code": "tea", "en": "Tea", "cy": "Te"}


@pytest.fixture
async def listed(running):
    """A desk with lines and a purpose."""
    await running.stop()
    routes = (
        {"called": "2", "ring": ["201"], "line": "Council Tax", "line_cy": "Treth Gyngor"},
        {"called": "3", "ring": ["201"], "line": "Housing"},
    )
    running.settings = changed(
        running.settings,
        contact_notes=ContactNotesSection.model_validate({"purposes": PURPOSES}),
        routes=tuple(map(Route.model_validate, routes)),
    )
    await running.start()
    return running


async def remove(client, url, **body):
    return await client.request("DELETE", url, json=body)


async def change(page, name, entries):
    version = (await page.http.get(f"{URL}/{name}")).json()["version"]
    return await page.http.put(f"{URL}/{name}", json={"version": version, "entries": entries})


async def test_each_list_names_its_place_in_the_settings_and_its_rules(listed):
    gwen = await listed.page("gwen")
    found = {each["name"]: each for each in (await gwen.http.get(URL)).json()}
    assert list(found) == ["lines", "purposes", "breaks", "no_note_reasons", "teams"]
    assert found["lines"]["entries"] == [
        {"code": "Council Tax", "en": "Council Tax", "cy": "Treth Gyngor"},
        {"code": "Housing", "en": "Housing", "cy": ""},
    ]
    assert found["purposes"]["entries"] == PURPOSES
    assert [each["settings"] for each in found.values()] == [
        "[[routes]] line, line_cy",
        "[[contact_notes.purposes]]",
        "[presence] break_reasons",
        "",
        "",
    ]
    assert [each["fixed"] for each in found.values()] == [True, False, False, True, False]
    assert all(each["from_settings"] and each["changed"] is None for each in found.values())
    assert (await gwen.http.get(f"{URL}/breaks")).json() == found["breaks"]


@pytest.mark.parametrize("who", ["sian", "mair"])
async def test_only_an_administrator_sees_and_changes_the_lists(listed, who):
    http = (await listed.page(who)).http
    body = {"version": "0" * 16, "entries": []}
    assert (await http.get(URL)).status_code == 403
    assert (await http.get(f"{URL}/breaks")).status_code == 403
    assert (await http.put(f"{URL}/breaks", json=body)).status_code == 403
    assert (await remove(http, f"{URL}/breaks", version="0" * 16)).status_code == 403


async def test_a_change_from_another_site_is_refused(listed):
    http = (await listed.page("gwen")).http
    http.headers["Origin"] = "https://evil.example"
    body = {"version": "0" * 16, "entries": []}
    assert (await http.put(f"{URL}/breaks", json=body)).status_code == 403


async def test_a_change_is_shown_on_open_pages_audited_and_survives_a_restart(listed):
    gwen, sian = await listed.page("gwen"), await listed.page("sian")
    before = (await sian.open())["texts"]
    assert "tea" not in {each["code"] for each in before["break_reasons"]}
    reply = await change(gwen, "breaks", [TEA])
    assert reply.status_code == 200, reply.text
    assert (reply.json()["entries"], reply.json()["changed_by"]) == ([TEA], "gwen")
    news = await sian.event("texts")
    assert news["break_reasons"] == [TEA]
    assert "lunch" in {each["code"] for each in news["former_reasons"]}
    assert (await sian.http.put("/api/v1/presence", json=a_break("tea"))).status_code == 200
    assert (await sian.http.put("/api/v1/presence", json=a_break("lunch"))).status_code == 422
    (entry,) = await listed.desk.host.audit.search(AuditFilter(kind="texts.changed"), limit=9)
    values = {name: value for name, (_, value) in entry.values.items()}
    assert values == {"actor": "user:gwen"}
    assert {"list": "breaks", "entries": 1}.items() <= json.loads(entry.body)["facts"].items()
    await listed.stop()
    await listed.start()
    again = await (await listed.page("sian")).open()
    assert again["texts"] == news


def a_break(reason):
    return {"state": "break", "reason": reason}


async def test_a_line_is_shown_by_its_new_name_and_keeps_its_name_in_the_settings_as_key(listed):
    gwen, sian = await listed.page("gwen"), await listed.page("sian")
    assert (await sian.open())["texts"]["line_names"] == {
        "Council Tax": {"en": "Council Tax", "cy": "Treth Gyngor"}
    }
    names = [
        {"code": "Council Tax", "en": "Council Tax", "cy": "Treth Gyngor"},
        {"code": "Housing", "en": "Homes", "cy": "Tai"},
    ]
    assert (await change(gwen, "lines", names)).status_code == 200
    news = await sian.event("texts")
    assert news["line_names"]["Housing"] == {"en": "Homes", "cy": "Tai"}


async def test_only_changed_words_of_a_reason_for_no_note_are_sent_to_pages(
    listed,
):
    gwen, sian = await listed.page("gwen"), await listed.page("sian")
    assert (await sian.open())["texts"]["no_note_reasons"] == []
    entries = (await gwen.http.get(f"{URL}/no_note_reasons")).json()["entries"]
    entries[-1] |= {"en": "Only a test", "cy": "Prawf yn unig"}
    assert (await change(gwen, "no_note_reasons", entries)).status_code == 200
    news = await sian.event("texts")
    assert news["no_note_reasons"][-1] == {
        "code": "test",
        "en": "Only a test",
        "cy": "Prawf yn unig",
    }


async def test_a_changed_purpose_is_offered_at_once(listed):
    gwen, sian = await listed.page("gwen"), await listed.page("sian")
    await sian.open()
    bins = {"code": "waste-2", "en": "Missed bins", "cy": "Biniau a fethwyd"}
    assert (await change(gwen, "purposes", [bins])).status_code == 200
    offered = [{"en": "Missed bins", "cy": "Biniau a fethwyd"}]
    assert (await sian.event("texts"))["purposes"] == offered
    assert (await sian.http.get("/api/v1/contacts/purposes")).json()["purposes"] == offered


async def test_a_change_of_a_list_that_was_changed_in_another_page_is_refused(listed):
    first, second = await listed.page("gwen"), await listed.page("gwen")
    version = (await second.http.get(f"{URL}/breaks")).json()["version"]
    assert (await change(first, "breaks", [TEA])).status_code == 200
    body = {"version": version, "entries": []}
    refused = await second.http.put(f"{URL}/breaks", json=body)
    assert (refused.status_code, refused.json()["reason"]) == (409, "changed")
    refused = await remove(second.http, f"{URL}/breaks", version=version)
    assert (refused.status_code, refused.json()["reason"]) == (409, "changed")
    assert (await second.http.get(f"{URL}/breaks")).json()["entries"] == [TEA]


async def test_a_reset_puts_the_list_of_the_settings_in_force_again(listed):
    gwen = await listed.page("gwen")
    version = (await change(gwen, "breaks", [TEA])).json()["version"]
    reply = await remove(gwen.http, f"{URL}/breaks", version=version)
    assert reply.status_code == 200
    assert (reply.json()["from_settings"], reply.json()["entries"][0]["code"]) == (True, "break")
    (entry,) = await listed.desk.host.audit.search(AuditFilter(kind="texts.reset"), limit=9)
    assert json.loads(entry.body)["facts"]["list"] == "breaks"


@pytest.mark.parametrize(
    ("name", "entries", "reason"),
    [
        ("breaks", [TEA, TEA], "same_code"),
        ("breaks", [{**TEA, "code": "T"}], "code"),
        ("breaks", [{**TEA, "cy": ""}], "empty"),
        ("breaks", [{**TEA, "en": "T" * 41}], "too_long"),
        ("breaks", [{**TEA, "en": "4111 1111 1111 1111"}], "card_number"),
        ("purposes", [{**TEA, "code": "a"}, {**TEA, "code": "b"}], "same_text"),
        ("lines", [TEA], "codes_fixed"),
    ],
)
async def test_a_list_that_is_not_valid_is_refused_with_the_reason(listed, name, entries, reason):
    gwen = await listed.page("gwen")
    before = (await gwen.http.get(f"{URL}/{name}")).json()
    refused = await change(gwen, name, entries)
    assert (refused.status_code, refused.json()["reason"]) == (422, reason)
    assert (await gwen.http.get(f"{URL}/{name}")).json() == before
    assert await listed.desk.host.audit.search(AuditFilter(kind="texts.changed"), limit=9) == []


@pytest.mark.parametrize("text", ["Te\na", "", "T" * 201])
async def test_a_text_that_is_empty_too_long_or_has_a_line_break_is_refused(listed, text):
    refused = await change(await listed.page("gwen"), "purposes", [{**TEA, "en": text}])
    assert refused.status_code == 422


async def test_an_unknown_list_is_refused(listed):
    gwen = await listed.page("gwen")
    assert (await gwen.http.get(f"{URL}/colours")).status_code == 422


async def test_supervisors_see_a_users_new_team_and_the_audit_has_the_change(listed):
    gwen, mair = await listed.page("gwen"), await listed.page("mair")
    await mair.open()
    housing = {"code": "housing", "en": "Housing", "cy": "Tai"}
    assert (await change(gwen, "teams", [housing])).status_code == 200
    assert (await mair.event("texts"))["teams"] == [housing]
    users = (await gwen.http.get("/api/v1/users")).json()["users"]
    version = next(each["version"] for each in users if each["name"] == "sian")
    url = "/api/v1/users/sian"
    refused = await gwen.http.patch(url, json={"version": version, "team": "tax"})
    assert (refused.status_code, refused.json()["reason"]) == (409, "team")
    reply = await gwen.http.patch(url, json={"version": version, "team": "housing"})
    assert (reply.status_code, reply.json()["user"]["team"]) == (200, "housing")
    refused = await gwen.http.patch(url, json={"version": version, "team": ""})
    assert (refused.status_code, refused.json()["reason"]) == (409, "changed")

    def belongs(news):
        return any(
            each["user"] == "sian" and each["team"] == "housing" for each in news["advisors"]
        )

    await mair.event("presence", belongs)
    (entry,) = await listed.desk.host.audit.search(AuditFilter(kind="user.team-set"), limit=9)
    assert json.loads(entry.body)["facts"]["team"] == "housing"
