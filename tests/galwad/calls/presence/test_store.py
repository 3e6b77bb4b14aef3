"""The breaks of users in the database.

Covers `galwad/calls/presence/store.py`.
"""

import pytest
from sqlalchemy.exc import IntegrityError

from galwad.calls.presence.store import Break, Breaks
from galwad.people.store import Users
from galwad.people.user import User
from helpers.desk import HASHER
from helpers.people import remove

PASSWORD = "correct horse battery"


@pytest.fixture
async def users(engine):
    """The users of the database, among them sian."""
    users = Users(engine, HASHER)
    await users.add(User("sian", "advisor", extension="201"), PASSWORD)
    return users


async def test_a_new_break_replaces_the_users_present_break(engine, users):
    breaks = Breaks(engine)
    await breaks.begin(Break("sian", "lunch", 1.0))
    await breaks.begin(Break("sian", "training", 2.0, "mair"))
    assert await breaks.all() == [Break("sian", "training", 2.0, "mair")]


async def test_a_break_can_be_ended_more_than_once(engine, users):
    breaks = Breaks(engine)
    await breaks.begin(Break("sian", "lunch", 1.0))
    for _ in range(2):
        await breaks.end("sian")
        assert await breaks.all() == []


async def test_a_removed_user_leaves_no_break(engine, users):
    breaks = Breaks(engine)
    await breaks.begin(Break("sian", "lunch", 1.0))
    await remove(users, "sian")
    assert await breaks.all() == []


async def test_an_unknown_user_can_have_no_break(engine, users):
    with pytest.raises(IntegrityError):
        await Breaks(engine).begin(Break("huw", "lunch", 1.0))
