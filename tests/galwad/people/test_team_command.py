"""`galwad users team`: let a user belong to a team, on the server's database."""

from __future__ import annotations

import asyncio

import pytest

from galwad.host.database import open_engine
from galwad.settings import load
from galwad.texts.rules import TextEntry
from galwad.texts.store import StoredTexts, TextStore


@pytest.fixture
def config(run, settings_file):
    """The settings of a server with the user sian and a team."""
    words = ("users", "add", "sian", "--generate", "--config", settings_file)
    assert run(*words).status == 0
    return ("--config", settings_file)


@pytest.fixture
def teams(config):
    """One team in the list of teams."""
    database = load(config[1]).database

    async def store():
        engine = open_engine(database)
        entries = (TextEntry("housing", "Housing", "Tai"),)
        await TextStore(engine).save("teams", StoredTexts(entries, (), 1.0, "gwen"))
        await engine.dispose()

    asyncio.run(store())


@pytest.mark.usefixtures("teams")
def test_a_user_belongs_to_a_team_and_then_to_none(run, config):
    done = run("users", "team", "sian", "housing", *config)
    assert (done.status, done.out.splitlines()[0]) == (0, "sian belongs to the team housing")
    assert run("users", "list", "--json", *config).json()[0]["team"] == "housing"
    assert "housing" in run("users", "list", *config).out
    done = run("users", "team", "sian", "--none", "--json", *config)
    assert done.json() == {"user": "sian", "team": None}
    assert run("users", "list", "--json", *config).json()[0]["team"] is None


def test_an_unknown_team_is_refused_with_the_command_that_lists_them(run, config):
    done = run("users", "team", "sian", "housing", *config)
    assert (done.status, done.out) == (1, "")
    assert 'there is no team "housing"' in done.err
    assert "galwad texts list teams" in done.err


@pytest.mark.parametrize("words", [(), ("housing", "--none")])
def test_a_missing_or_contradicted_team_is_wrong_usage(run, config, words):
    done = run("users", "team", "sian", *words, *config)
    assert (done.status, done.out) == (2, "")
    assert "either a team or --none is needed, not both" in done.err
