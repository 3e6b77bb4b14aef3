"""The script for a global key on Linux, run against the desk: `examples/global-key/galwad-key`.

The desk is the real one of `galwad/people/routes.py` and `galwad/calls/payments.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from helpers.desk import until

CALL = "20261125-101500-aaaaaaaa"
SCRIPT = Path(__file__).resolve().parents[3] / "examples" / "global-key" / "galwad-key"
TOOLS = ("sh", "cat", "curl", "find", "tail", "sed")
PATIENCE_S = 60.0
NOTIFIER = '#!/bin/sh\nprintf "%s|" "$@" >> "$HOME/shown"\nexit {status}\n'


class Key:
    """The key of sian: each call runs the script, with no other program than `tools` has."""

    def __init__(self, home, tools, sian, made):
        self.folder, self.tools, self.sian = home / ".config" / "galwad", tools, sian
        self.token = f"/api/v1/me/tokens/{made['token']['id']}"
        self._env = {"HOME": str(home), "PATH": str(tools)}
        self._secret = made["secret"]

    async def __call__(self, *words):
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", SCRIPT, *words),
            env=self._env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(PATIENCE_S):
            out, err = await process.communicate()
        assert self._secret not in (out + err).decode()
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
async def press(running, tmp_path):
    """The key of sian, who talks on a call; no program can show notices."""
    sian = await running.answered(CALL)
    made = (await sian.http.post("/api/v1/me/tokens", json={"name": "desktop"})).json()
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool))
    press = Key(tmp_path / "home", tools, sian, made)
    press.folder.mkdir(parents=True)
    (press.folder / "server").write_text(f"{running.url}\n")
    (press.folder / "token").write_text(f"{made['secret']}\n")
    (press.folder / "token").chmod(0o600)
    return press


async def test_the_key_pauses_and_resumes_and_says_the_state(running, press):
    assert await press("pause") == (0, "Recording: paused \n", "")
    assert running.switch.calls[CALL].holders == ("page:sian",)
    assert await press("pause") == (0, "Recording: paused \n", "")
    assert await press("resume") == (0, "Recording: recording \n", "")
    assert running.switch.calls[CALL].holders == ()


async def test_a_resume_that_leaves_another_pause_in_force_is_an_error(running, press):
    machine = await running.machine("pay", "payments")
    await machine.put("/api/v1/payments", json={"advisor": "sian"})
    status, _, err = await press("resume")
    assert status == 1
    assert "NOT RESUMED. Another pause is still in force" in err


async def revoke(running, press):
    await press.sian.http.delete(press.token)


async def hang_up(running, press):
    running.switch.hang_up(CALL)
    await press.sian.event("call", lambda pop: pop["state"] == "wrapup")


async def stop_switch(running, press):
    await running.switch.stop()
    await until(lambda: not running.desk.host.switch.connected)


async def stop_desk(running, press):
    await running.stop()


async def share(running, press):
    (press.folder / "token").chmod(0o640)


async def forget(running, press):
    (press.folder / "token").unlink()


async def use_http(running, press):
    (press.folder / "server").write_text("http://galwad.example\n")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (revoke, "The token is not valid any more"),
        (hang_up, "You have no answered call"),
        (stop_switch, "The desk answered with the status 503"),
        (stop_desk, "The desk cannot be reached"),
        (share, "Others can read the token: run chmod 600"),
        (forget, "token is missing"),
        (use_http, "must begin with https://"),
    ],
)
async def test_a_pause_that_fails_is_reported_loudly_with_its_reason(
    running, press, prepare, reason
):
    await prepare(running, press)
    status, out, err = await press("pause")
    assert (status, out) == (1, "")
    assert "galwad: NOT PAUSED. Take no card details." in err
    assert reason in err
    assert "\a" in err


@pytest.mark.parametrize("works", [True, False])
async def test_the_state_and_a_failure_are_shown_by_the_desktops_notifier(running, press, works):
    notifier = press.tools / "notify-send"
    notifier.write_text(NOTIFIER.format(status=0 if works else 1))
    notifier.chmod(0o700)
    assert (await press("pause"))[0] == 0
    await press.sian.http.delete(press.token)
    status, _, err = await press("pause")
    shown = (press.folder.parents[1] / "shown").read_text()
    assert "Recording: paused" in shown
    assert "--urgency=critical|--app-name=Galwad|NOT PAUSED. Take no card details.|" in shown
    assert status == 1
    assert "NOT PAUSED" in err


async def test_the_key_without_an_action_shows_its_usage(press):
    status, _, err = await press()
    assert (status, err) == (2, "usage: galwad-key pause|resume\n")


def test_the_script_is_executable():
    assert os.access(SCRIPT, os.X_OK)
