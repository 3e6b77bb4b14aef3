"""Alarms on the page: the list of supervisors, and the banners of advisors.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.peer

CALL = "20261125-093000-abcdefgh"
OTHER = "20261125-093100-abcdefgh"


@pytest.fixture
def supervisor(desk):
    """The scripted desk, signed in as the supervisor sian, with a call of owen."""
    desk.me["role"] = "supervisor"
    facts = {"mine": False, "state": "answered", "advisor": "owen", "recording": "recording"}
    desk.put(call_id=CALL, recording_since=time.time(), **facts)
    return desk


def rows(page):
    return page.locator(".alarm-list > li")


def answered(desk, **more):
    return desk.put(
        state="answered", advisor="sian", recording="recording", recording_since=time.time(), **more
    )


def test_an_alarm_that_was_raised_while_the_page_was_closed_is_in_the_list(
    supervisor, browser_page, address
):
    supervisor.alarm("recording.fault", CALL, detail="no space left", taken_by="ceri")
    browser_page.goto(address)
    row = rows(browser_page)
    expect(row).to_contain_text("A call is not being recorded because of a fault (Council Tax).")
    expect(row).to_contain_text("Ask an administrator to free space on the disk")
    expect(row).to_contain_text("no space left")
    expect(row).to_contain_text("ceri handles this, since")
    expect(browser_page.get_by_role("heading", name="Alarms (1)")).to_be_visible()


def test_the_most_severe_alarms_come_first_and_of_these_the_newest(supervisor, page):
    now = time.time()
    supervisor.alarm("media.silent", CALL, first=now)
    supervisor.alarm("peer.down", first=now - 60)
    supervisor.alarm("webhook.down", first=now - 30)
    supervisor.alarm("recording.fault", CALL, first=now - 10)
    expect(rows(page).locator(".severity")).to_have_text(
        ["Critical", "Critical", "Warning", "Notice"]
    )
    expect(rows(page).first).to_contain_text("not being recorded")


def test_a_supervisor_takes_gives_back_and_closes_an_alarm_with_a_remark(supervisor, page):
    supervisor.alarm("peer.down", detail="north: SIP status 408")
    row = rows(page)
    row.get_by_role("button", name="Take", exact=True).click()
    expect(row).to_contain_text("You handle this, since")
    row.get_by_role("button", name="Give back").click()
    expect(row.locator(".alarm-who")).to_be_hidden()
    row.get_by_role("button", name="Close…").click()
    expect(row.get_by_label("Remark (optional)")).to_be_focused()
    row.get_by_label("Remark (optional)").fill("router replaced")
    page.keyboard.press("Enter")
    expect(row).to_have_count(0)
    expect(page.get_by_text("No open alarms.")).to_be_visible()
    expect(page.get_by_role("heading", name="Alarms (0)")).to_be_focused()
    page.get_by_text("Closed today").click()
    expect(page.locator(".alarm-past")).to_contain_text("closed by sian")
    expect(page.locator(".alarm-past q")).to_have_text("router replaced")
    posted = [(path, body) for method, path, body in supervisor.asked if method == "POST"]
    assert posted[-1] == ("/alarms/peer.down-None/close", {"remark": "router replaced"})


def test_a_supervisor_who_takes_an_alarm_too_late_sees_who_took_it(supervisor, page):
    supervisor.alarm("peer.down")
    supervisor.faster = "ceri"
    rows(page).get_by_role("button", name="Take", exact=True).click()
    expect(page.get_by_role("alert").get_by_text("Somebody else was faster.")).to_be_visible()
    expect(rows(page)).to_contain_text("ceri handles this, since")
    expect(rows(page).get_by_role("button", name="Take", exact=True)).to_be_hidden()
    expect(rows(page).get_by_role("button", name="Give back")).to_be_hidden()


def test_a_failed_attempt_to_take_an_alarm_is_reported(supervisor, page):
    supervisor.alarm("peer.down")
    supervisor.refusing = 503
    rows(page).get_by_role("button", name="Take", exact=True).click()
    expect(page.get_by_role("alert").get_by_text("The alarm has not changed.")).to_be_visible()


def test_another_supervisors_act_on_an_alarm_is_shown_at_once(supervisor, page):
    supervisor.alarm("peer.down")
    supervisor.handle("peer.down-None", state="taken", taken_by="ceri", taken=time.time())
    expect(rows(page)).to_contain_text("ceri handles this")
    supervisor.handle("peer.down-None", state="closed", closed_by="ceri", closed=time.time())
    expect(rows(page)).to_have_count(0)


def test_an_alarm_that_ends_by_itself_leaves_the_list_and_the_focus_moves_to_the_heading(
    supervisor, page
):
    supervisor.alarm("payment.page_lost", CALL)
    rows(page).get_by_role("button", name="Take", exact=True).focus()
    supervisor.handle(f"payment.page_lost-{CALL}", state="closed", closed=time.time())
    expect(rows(page)).to_have_count(0)
    expect(page.get_by_role("heading", name="Alarms (0)")).to_be_focused()
    page.get_by_text("Closed today").click()
    expect(page.locator(".alarm-past")).to_contain_text("ended by itself")


def test_a_new_alarm_leaves_the_focus_and_a_remark_in_progress_as_they_are(supervisor, page):
    supervisor.alarm("webhook.down")
    row = rows(page)
    row.get_by_role("button", name="Close…").click()
    row.get_by_label("Remark (optional)").fill("asked")
    supervisor.alarm("recording.fault", CALL)
    supervisor.alarm("webhook.down")
    expect(rows(page)).to_have_count(2)
    expect(rows(page).last).to_contain_text("2 times")
    field = page.get_by_label("Remark (optional)").last
    expect(field).to_be_focused()
    expect(field).to_have_value("asked")
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    expect(rows(page).last.get_by_role("button", name="Close…")).to_be_focused()


def test_an_alarm_is_announced_once_while_it_is_open_and_again_when_it_returns(
    supervisor, page, said
):
    for _ in range(3):
        supervisor.alarm("peer.down")
    expect(rows(page)).to_contain_text("3 times")
    text = "A trunk or PBX has stopped answering."
    assert said() == [("urgent", text)]
    supervisor.handle("peer.down-None", state="closed", closed=time.time())
    expect(rows(page)).to_have_count(0)
    supervisor.alarm("peer.down")
    expect(rows(page)).to_have_count(1)
    assert said().count(("urgent", text)) == 2


def test_an_alarm_raised_while_the_connection_was_lost_is_announced_once_it_is_back(
    supervisor, page, said
):
    supervisor.alarm("peer.down")
    expect(rows(page)).to_have_count(1)
    supervisor.cut()
    expect(page.locator("#lost")).to_be_visible()
    del supervisor.alarms["peer.down-None"]
    supervisor.alarm("webhook.down")
    supervisor.mend()
    expect(rows(page)).to_contain_text("The system that receives call events cannot be reached.")
    texts = [text for _, text in said()]
    assert texts.count("The system that receives call events cannot be reached.") == 1


def test_hostile_text_in_an_alarm_is_shown_as_text(supervisor, page):
    hostile = "<img src=x onerror=alert(1)>\u202e" + "x" * 280
    supervisor.alarm("peer.down", detail=hostile, taken_by=hostile, state="taken")
    expect(rows(page)).to_contain_text("<img src=x")
    assert page.locator(".alarm-list img").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_advisor_sees_a_banner_until_the_alarm_ends(desk, page):
    answered(desk)
    desk.alarm("payment.forgotten", CALL)
    expect(page.locator(".banner.alarm")).to_contain_text("paused for a long time (Council Tax)")
    expect(page.locator(".alarm-panel")).to_have_count(0)
    desk.alarm("payment.forgotten", CALL)
    desk.handle(f"payment.forgotten-{CALL}", state="closed", closed=time.time())
    expect(page.locator(".banner.alarm")).to_have_count(0)


def test_a_banner_that_the_advisor_has_closed_stays_away_after_a_lost_connection(desk, page):
    answered(desk)
    desk.alarm("payment.forgotten", CALL)
    page.get_by_role("button", name="Close this alarm").click()
    expect(page.locator(".banner.alarm")).to_have_count(0)
    desk.cut()
    expect(page.locator("#lost")).to_be_visible()
    desk.mend()
    expect(page.locator("#lost")).to_be_hidden()
    expect(page.locator(".banner.alarm")).to_have_count(0)
    desk.alarm("payment.forgotten", CALL)
    expect(page.locator(".banner.alarm")).to_have_count(1)


def test_the_alarm_banners_of_a_call_disappear_when_the_call_is_closed(desk, page):
    answered(desk)
    desk.alarm("media.refused", CALL)
    expect(page.locator(".banner.alarm")).to_have_count(1)
    desk.close(CALL)
    expect(page.locator(".banner.alarm")).to_have_count(0)


def test_a_lost_switch_is_shown_to_an_advisor_only_at_the_top_of_the_page(desk, page):
    answered(desk)
    desk.alarm("switch.lost")
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator(".banner.alarm")).to_have_count(0)


def test_a_lost_switch_is_shown_to_a_supervisor_at_the_top_and_in_the_list_of_alarms(
    supervisor, page
):
    supervisor.alarm("switch.lost")
    expect(page.locator("#lost")).to_be_visible()
    expect(rows(page)).to_contain_text("This page has lost the switch.")
