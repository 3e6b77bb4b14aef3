"""The advisors by team: the supervisors' table, its filter, and the wall.

The page is in `galwad/page/static/`.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from helpers.page_states import supervise_teams

pytestmark = pytest.mark.peer


@pytest.fixture
def teams(desk, browser_page, address):
    """The page of a supervisor with advisors of two teams, and one of none."""
    supervise_teams(desk)
    browser_page.goto(address)
    browser_page.locator("#link[data-state=live]").wait_for()
    return browser_page


def groups(page):
    """Return the visible groups: the name of each team, and its advisors."""
    return [
        (each.locator(".team strong").inner_text(), each.locator("th[scope=row]").all_inner_texts())
        for each in page.locator(".advisors tbody:visible").all()
    ]


def test_the_advisors_are_grouped_by_team_with_counts(teams):
    expect(teams.locator(".advisors tbody")).to_have_count(3)
    assert groups(teams) == [
        ("Housing", ["eleri", "sian"]),
        ("Council Tax", ["huw"]),
        ("No team", ["owen"]),
    ]
    counts = teams.locator(".advisors .team .note")
    expect(counts).to_have_text(
        [
            "1 available, 1 on a call, 0 in wrap-up, 0 on a break, 0 without a phone, 0 offline",
            "0 available, 0 on a call, 0 in wrap-up, 1 on a break, 0 without a phone, 0 offline",
            "1 available, 0 on a call, 0 in wrap-up, 0 on a break, 0 without a phone, 0 offline",
        ]
    )


def test_the_chosen_team_is_kept_in_the_browser(teams):
    teams.get_by_label("Team").select_option("Housing")
    expect(teams.locator(".advisors > .note")).to_contain_text("1 available, 1 on a call")
    assert groups(teams) == [("Housing", ["eleri", "sian"])]
    teams.reload()
    expect(teams.get_by_label("Team")).to_have_value("housing")
    assert groups(teams) == [("Housing", ["eleri", "sian"])]
    teams.get_by_label("Team").select_option("No team")
    assert groups(teams) == [("No team", ["owen"])]
    teams.get_by_label("Team").select_option("All teams")
    expect(teams.locator(".advisors tbody:visible")).to_have_count(3)


def test_an_advisor_moves_to_the_group_of_their_new_team_and_a_removed_team_disappears(desk, teams):
    desk.be("owen", team="tax")
    expect(teams.locator(".advisors tbody")).to_have_count(2)
    assert groups(teams)[1] == ("Council Tax", ["huw", "owen"])
    desk.texts.put("teams", ("tax", "Tax", "Treth"))
    desk.push("texts", desk.page_texts())
    expect(teams.locator(".advisors .team strong")).to_have_text(["Tax", "No team"])
    assert groups(teams) == [("Tax", ["huw", "owen"]), ("No team", ["eleri", "sian"])]
    desk.texts.put("teams")
    desk.push("texts", desk.page_texts())
    expect(teams.locator(".advisors .team")).to_have_count(0)
    expect(teams.locator(".advisors tbody th")).to_have_text(["huw", "eleri", "sian", "owen"])
    expect(teams.get_by_label("Team")).to_be_hidden()


def test_the_teams_have_their_welsh_names_on_the_welsh_page(teams):
    teams.get_by_role("button", name="Cymraeg").click()
    expect(teams.locator(".advisors .team strong")).to_have_text(["Tai", "Treth Gyngor", "Dim tîm"])
    expect(teams.get_by_label("Tîm").locator("option").first).to_have_text("Pob tîm")


def test_a_row_does_not_leave_its_group_while_it_has_the_focus(desk, teams):
    button = teams.locator("tr:has(#advisor-owen)").get_by_role("button", name="Set on a break")
    button.focus()
    desk.be("owen", team="tax", devices=2)
    expect(teams.locator("tr:has(#advisor-owen)")).to_contain_text("2 devices")
    expect(button).to_be_focused()
    teams.locator("#sign-out").focus()
    expect(teams.locator(".advisors tbody")).to_have_count(2)


def test_the_wall_counts_the_advisors_of_each_team_and_names_none(desk, teams):
    teams.get_by_role("button", name="Show on a wall screen").click()
    expect(teams.locator(".advisors .team").first).to_be_visible()
    expect(teams.locator(".advisors .team").first).to_contain_text("Housing 1 available")
    expect(teams.locator("#advisor-sian")).to_be_hidden()
    expect(teams.get_by_label("Team")).to_be_hidden()
    assert teams.locator("button:visible, select:visible").count() == 0
    desk.be("sian", state="break", on_break=True, reason="lunch")
    expect(teams.locator(".advisors .team").first).to_contain_text("1 on a break")
