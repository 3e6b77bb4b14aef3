"""The board of presences: what it reports, when, and what it keeps."""

import asyncio

import pytest

from galwad.calls.bodies import PresenceState
from galwad.calls.presence.board import PresenceBoard, PresenceListeners, may_be_at_pbx
from galwad.calls.presence.store import Breaks
from galwad.messages import Party, PhonesRegistered, RegisteredPhone
from galwad.people.store import Users
from galwad.people.user import User
from galwad.settings.switch import Route
from helpers.desk import HASHER
from helpers.people import change, remove

PASSWORD = "correct horse battery"
SIAN = User("sian", "advisor", extension="201")
HUW = User("huw", "advisor", extension="202")
MAIR = User("mair", "supervisor")


class Reports:
    """The reports of the board to its listeners."""

    def __init__(self):
        self.changes, self.away, self.counts = [], [], {}

    def counted(self, counts):
        self.counts = dict(counts)


@pytest.fixture
def reports():
    return Reports()


@pytest.fixture
async def users(engine):
    """The users sian and huw with phones, and mair without one."""
    users = Users(engine, HASHER)
    for each in (SIAN, HUW, MAIR):
        await users.add(each, PASSWORD)
    return users


@pytest.fixture
def a_board(engine, users, reports, clock):
    """Return a function that starts a board on the same database."""

    async def a_board():
        listeners = PresenceListeners(reports.changes.append, reports.away.append, reports.counted)
        board = PresenceBoard(users, Breaks(engine), list, listeners, clock)
        await board.start()
        return board

    return a_board


@pytest.fixture
async def board(a_board):
    return await a_board()


def states(board):
    return {each.user: each.state.value for each in board.all()}


async def test_only_people_who_can_take_calls_are_listed(board):
    assert states(board) == {"huw": "offline", "sian": "offline"}


async def test_many_changes_before_a_refresh_are_reported_together(board, reports):
    reports.changes.clear()
    for turn in range(100):
        user = (SIAN, HUW)[turn % 2]
        await board.begin_break(user, "lunch")
        await board.make_available(user)
    await board.begin_break(SIAN, "lunch")
    board.refresh()
    (change,) = reports.changes
    assert [(each.user, each.state) for each in change.advisors] == [("sian", PresenceState.BREAK)]
    assert reports.counts == {PresenceState.BREAK: 1, PresenceState.OFFLINE: 1}


async def test_nothing_is_reported_if_nothing_has_changed(board, reports):
    reports.changes.clear()
    board.refresh()
    assert (reports.changes, reports.away) == ([], [])


async def test_the_users_who_are_away_are_reported_only_when_they_change(board, reports):
    await board.begin_break(SIAN, "lunch")
    board.refresh()
    await board.begin_break(SIAN, "training")
    board.refresh()
    await board.make_available(SIAN)
    board.refresh()
    assert reports.away == [("sian",), ()]


async def test_a_break_goes_on_after_a_restart(board, a_board, reports):
    taken = await board.begin_break(SIAN, "lunch", "mair")
    restarted = await a_board()
    assert restarted.away == ("sian",)
    (sian,) = restarted.seen_by(SIAN)
    assert (sian.reason, sian.since, sian.set_by) == ("lunch", taken.since, "mair")


async def test_a_new_reason_does_not_restart_a_break(board, clock):
    began = await board.begin_break(SIAN, "lunch")
    clock.now += 300
    changed = await board.begin_break(SIAN, "training")
    assert (changed.since, changed.reason) == (began.since, "training")


async def test_a_user_sees_their_own_presence_and_a_supervisor_that_of_all(board):
    assert [each.user for each in board.seen_by(SIAN)] == ["sian"]
    assert [each.user for each in board.seen_by(MAIR)] == ["huw", "sian"]


async def test_a_user_has_an_open_page_until_the_last_one_is_closed(board):
    with board.page(SIAN):
        with board.page(SIAN):
            board.refresh()
        board.refresh()
        assert states(board)["sian"] == "available"
    board.refresh()
    assert states(board)["sian"] == "offline"


async def test_reports_about_phones_add_up_until_a_complete_one_replaces_them(board):
    board.set_connected(True)
    sian, huw = Party("201", "sian"), Party("202", "huw")

    def devices():
        board.refresh()
        return [each.devices for each in board.all()]

    board.registered(PhonesRegistered((RegisteredPhone(sian, 2),), complete=True))
    board.registered(PhonesRegistered((RegisteredPhone(huw, 1),)))
    assert devices() == [1, 2]
    board.registered(PhonesRegistered((RegisteredPhone(sian, 0),)))
    assert devices() == [1, 0]
    board.registered(PhonesRegistered((RegisteredPhone(sian, 1),), complete=True))
    assert devices() == [0, 1]
    board.set_connected(False)
    assert devices() == [None, None]


async def test_a_disabled_user_is_gone_and_still_on_break_when_enabled_again(board, users, reports):
    await board.begin_break(SIAN, "lunch")
    board.refresh()
    await change(users, "sian", disabled=True)
    await board.read_users()
    board.refresh()
    assert (reports.changes[-1].gone, reports.away[-1]) == (("sian",), ())
    await change(users, "sian", disabled=False)
    await board.read_users()
    board.refresh()
    assert states(board)["sian"] == "break"


async def test_a_new_user_does_not_inherit_the_break_of_a_removed_user_of_the_same_name(
    board, users
):
    await board.begin_break(SIAN, "lunch")
    await remove(users, "sian")
    await users.add(SIAN, PASSWORD)
    await board.read_users()
    board.refresh()
    assert states(board)["sian"] == "offline"


async def test_the_board_reports_by_itself_and_survives_a_failing_listener(board, monkeypatch):
    failed, heard = asyncio.Event(), asyncio.Event()

    def fail_once(_change):
        if failed.is_set():
            heard.set()
            return
        failed.set()
        raise RuntimeError("the listener has failed")

    monkeypatch.setattr("galwad.calls.presence.board.INTERVAL_S", 0.01)
    monkeypatch.setattr(board, "_listeners", PresenceListeners(fail_once, print, print))
    running = asyncio.create_task(board.run())
    with board.page(SIAN):
        async with asyncio.timeout(60):
            await failed.wait()
    async with asyncio.timeout(60):
        await heard.wait()
    running.cancel()


ROUTES = [
    Route.model_validate({"called": "1", "ring": ["201"]}),
    Route.model_validate({"called": "2", "target": "sip:600@192.0.2.20", "advisors": ["huw"]}),
]


@pytest.mark.parametrize(
    ("name", "extension", "routes", "may_be"),
    [
        ("sian", "201", ROUTES, False),  # a line rings this extension at the switch
        ("huw", None, ROUTES, True),  # the PBX's line names the user
        ("gwen", "300", ROUTES, True),  # only the PBX can ring this extension
        ("gwen", None, ROUTES, False),
        ("gwen", "300", ROUTES[:1], False),
    ],
)
def test_the_routes_say_whose_phone_may_be_at_a_pbx(name, extension, routes, may_be):
    assert may_be_at_pbx(User(name, "advisor", extension=extension), routes) is may_be


async def test_a_user_with_a_page_has_no_phone_once_the_switch_has_reported_none(board):
    with board.page(SIAN):
        board.set_connected(True)
        board.refresh()
        assert states(board)["sian"] == "available"
        board.registered(PhonesRegistered((), complete=True))
        board.refresh()
        assert states(board)["sian"] == "no_phone"
        board.registered(PhonesRegistered((RegisteredPhone(Party("201", "sian"), 1),)))
        board.refresh()
        assert states(board)["sian"] == "available"
        board.set_connected(False)
        board.refresh()
        assert states(board)["sian"] == "available"
