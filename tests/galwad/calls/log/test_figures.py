"""The supervisors' figures and their export as CSV.

Covers `galwad/calls/log/figures.py`.
"""

from __future__ import annotations

import csv
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from galwad.calls.log.figures import figures_of
from galwad.calls.log.logged_call import LoggedCall
from galwad.periods import period
from helpers.desk import changed
from helpers.followed_calls import log_calls
from recording.audit.log import AuditFilter

ZONE = ZoneInfo("Europe/London")
NOON = 1_794_744_000.0  # 15 November 2026, 12:00


def ended(name, outcome="answered", started=NOON, waited=10.0, talk=60.0, **more):
    answered = started + waited if outcome == "answered" else 0.0
    fields = {"line": "Council Tax", **more}
    return LoggedCall(
        f"call-{name}",
        started,
        answered=answered,
        ended=started + waited + (talk if answered else 0.0),
        outcome=outcome,
        talk_us=round(talk * 1e6) if answered else 0,
        **fields,
    )


async def put(desk, *calls):
    await log_calls(desk.host.engine, *calls)


@pytest.fixture
async def mair(running):
    """The supervisor's client, with some calls of 15 November 2026 in the log."""
    await put(
        running.desk,
        ended(1, language="cy", pauses=1, gaps=2, transfers=1),
        ended(2, started=NOON + 3600, waited=30.0, talk=120.0),
        ended(3, "abandoned", waited=45.0, line="Housing"),
        ended(4, "missed", line="=cmd|'/C calc'!A1"),
        ended(5, "refused"),
        ended(6, outgoing=True),
        ended(7, internal=True),
        ended(8, started=NOON - 86_400),
        ended(9, outcome=""),
    )
    return (await running.page("mair")).http


WHEN = {"when": "2026-11-15"}


async def test_the_figures_add_up_calls_by_line_hour_and_language(mair):
    found = (await mair.get("/api/v1/figures", params=WHEN)).json()
    total = found["total"]
    counted = [total[name] for name in ("calls", "answered", "missed", "abandoned", "refused")]
    assert counted == [5, 2, 1, 1, 1]
    assert (total["mean_waiting_s"], total["longest_waiting_s"]) == (20.0, 45.0)
    assert (total["mean_talk_s"], total["longest_talk_s"]) == (90.0, 120.0)
    assert (total["pauses"], total["gaps"], total["transferred"]) == (1, 2, 1)
    assert {row["line"]: row["calls"] for row in found["by_line"]} == {
        "=cmd|'/C calc'!A1": 1,
        "Council Tax": 3,
        "Housing": 1,
    }
    assert [(row["hour"], row["calls"]) for row in found["by_hour"]] == [(12, 4), (13, 1)]
    assert {row["language"]: row["calls"] for row in found["by_language"]} == {"": 4, "cy": 1}


async def test_the_figures_of_a_period_without_calls_are_zero(mair):
    found = (await mair.get("/api/v1/figures", params={"when": "2026-11-01"})).json()
    assert (found["total"]["calls"], found["total"]["mean_waiting_s"]) == (0, 0.0)
    assert (found["by_line"], found["by_hour"], found["by_language"]) == ([], [], [])


async def test_the_export_is_utf_8_for_excel_without_formulas_and_is_audited(running, mair):
    running.desk.host.settings = changed(running.desk.host.settings, desk={"time_zone": ZONE})
    reply = await mair.get("/api/v1/figures/export", params=WHEN)
    assert reply.headers["content-type"].startswith("text/csv")
    assert reply.content.startswith(b"\xef\xbb\xbfgroup,name,calls,")
    rows = list(csv.reader(reply.content.decode("utf-8-sig").splitlines()))
    assert rows[1][:4] == ["total", "", "5", "2"]
    assert ["line", "'=cmd|'/C calc'!A1"] in [row[:2] for row in rows]
    assert ["hour (Europe/London)", "12:00"] in [row[:2] for row in rows]
    (entry,) = await running.desk.host.audit.search(AuditFilter(kind="figures.exported"), limit=9)
    assert entry.facts["until"] - entry.facts["since"] == 86_400


@pytest.mark.parametrize("path", ["/api/v1/figures", "/api/v1/figures/export"])
async def test_an_advisor_a_machine_and_a_stranger_get_no_figures(running, path):
    assert (await (await running.page("sian")).http.get(path)).status_code == 403
    assert (await (await running.machine("pay", "payments")).get(path)).status_code == 403
    assert (await running.client().get(path)).status_code == 401
    assert (await (await running.page("gwen")).http.get(path)).status_code == 200


async def test_an_unreadable_period_of_the_figures_gets_422(mair):
    assert (await mair.get("/api/v1/figures", params={"when": "soon"})).status_code == 422


@pytest.mark.parametrize(
    ("day", "length", "hours"),
    [
        ("2026-03-29", 23, [0, *range(2, 24)]),
        ("2026-10-25", 25, list(range(24))),
    ],
)
async def test_the_hours_are_local_also_on_the_days_on_which_the_clock_changes(
    engine, day, length, hours
):
    begin = datetime.fromisoformat(day).replace(tzinfo=ZONE).timestamp()
    calls = [ended(n, started=begin + n * 3600 + 1800) for n in range(-1, length + 1)]
    await log_calls(engine, *calls)
    found = await figures_of(engine, period(day, begin, ZONE), ZONE)
    assert found.total.calls == length
    by_hour = {each.hour: each.calls for each in found.by_hour}
    assert list(by_hour) == hours
    assert by_hour.get(1) == (2 if length == 25 else None)
