"""The client of the server's API that `galwad simulate` uses."""

from __future__ import annotations

import asyncio

import pytest

from galwad.cli.support.console import CliError
from galwad.simulate import api
from galwad.simulate.api import ApiClient
from galwad.simulate.report import StepError


@pytest.mark.parametrize(
    ("pause_token", "hint"),
    [("refused", "correct or unset $GALWAD_PAUSE_TOKEN"), ("", "run `galwad login`")],
)
def test_the_hint_about_a_refused_token_names_where_the_token_is_from(
    monkeypatch, pause_token, hint
):
    def ask(*_, **__):
        raise CliError("you are not signed in", "run `galwad login`", http_status=401)

    monkeypatch.setattr(api, "ask", ask)
    with pytest.raises(StepError) as caught:
        asyncio.run(ApiClient("", pause_token).payment("PUT", "201", "paused"))
    assert caught.value.hint == hint
