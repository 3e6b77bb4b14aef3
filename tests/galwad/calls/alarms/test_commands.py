"""`galwad alarms`: list alarms, take one, close one; on a real desk."""

from __future__ import annotations

import asyncio

import pytest

from galwad.messages import Alarm
from helpers.desk import Running


@pytest.fixture
async def desk(tmp_path):
    """A desk with an open alarm."""
    running = Running(tmp_path)
    await running.switch.start()
    await running.start()
    await running.add("mair", "supervisor")
    await running.add("gwen", "admin")
    running.desk.calls.alarms.raised(
        Alarm("peer.down", None, "north 192.0.2.1:5060: SIP status 408")
    )
    yield running
    await running.stop()
    await running.switch.stop()


@pytest.fixture
async def galwad(desk, run, monkeypatch):
    """Return a function that runs a command as the supervisor mair."""
    monkeypatch.setenv("GALWAD_SERVER", desk.url)
    monkeypatch.setenv("GALWAD_TOKEN", await desk.desk.people.sessions.open("mair", "cli"))

    async def galwad(*words):
        return await asyncio.to_thread(run, "alarms", *words)

    return galwad


async def the_alarm(galwad):
    (alarm,) = (await galwad("list", "--all", "--json")).json()
    return alarm


async def test_the_list_shows_what_is_open_and_who_has_taken_it(galwad):
    alarm = await the_alarm(galwad)
    done = await galwad("list")
    assert done.status == 0
    heads, row = done.out.splitlines()
    assert heads.split()[:3] == ["ID", "SEVERITY", "KIND"]
    assert row.split()[:3] == [alarm["id"], "critical", "peer.down"]
    assert "north 192.0.2.1:5060: SIP status 408" in row
    assert " open " in row
    taken = await galwad("take", alarm["id"])
    assert (taken.status, taken.out) == (0, f"{alarm['id']} peer.down taken\n")
    assert "taken by mair" in (await galwad("list")).out


async def test_a_closed_alarm_is_listed_only_with_the_all_option(galwad):
    alarm = await the_alarm(galwad)
    done = await galwad("close", alarm["id"], "--remark", "cable", "--json")
    assert (done.json()["state"], done.json()["remark"]) == ("closed", "cable")
    assert (await galwad("list")).out == "No alarm is open.\n"
    assert (await galwad("list", "--json")).json() == []
    assert "closed by mair" in (await galwad("list", "--all")).out


async def test_an_alarm_that_ended_by_itself_is_listed_as_such(galwad, desk):
    desk.desk.calls.alarms.event("peer.up", "north 192.0.2.1:5060")
    assert "ended by itself" in (await galwad("list", "--all")).out


async def test_taking_an_alarm_of_another_user_is_refused_with_the_users_name(galwad, desk):
    alarm = await the_alarm(galwad)
    await desk.desk.calls.alarms.take(alarm["id"], "gwen", "user:gwen")
    done = await galwad("take", alarm["id"])
    assert (done.status, done.out) == (1, "")
    assert "gwen has taken this alarm" in done.err


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("take", "../audit"), 2, "is not the id of an alarm"),
        (("take", "0123456789ab"), 1, "no alarm has this id"),
        (("close",), 2, "ID"),
    ],
)
async def test_wrong_use_is_one_error_and_changes_nothing(galwad, words, status, error):
    done = await galwad(*words)
    assert (done.status, done.out) == (status, "")
    assert error in done.err
    assert (await the_alarm(galwad))["state"] == "open"
