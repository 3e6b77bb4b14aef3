"""The example client loses no event and writes none twice, whichever of the two is killed.

The stream is in `galwad/events/routes.py`; the example in `examples/call-events`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from functools import partial
from pathlib import Path
from subprocess import DEVNULL

import pytest

from galwad.administration import Administration
from galwad.messages import SetPhones
from galwad.people.user import User
from galwad.settings import load
from helpers.desk import FakeSwitch, until
from helpers.loopback import free_port
from helpers.processes import GALWAD, Child

PROGRAM = Path(__file__).parents[3] / "examples" / "call-events" / "follow.py"
PATIENCE_S = 120.0


class Site:
    """A desk and the example client, each a process of its own, and a fake switch."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.settings = folder / "galwad.toml"
        self.out = folder / "events.jsonl"
        self.token = folder / "token"
        self.errors = folder / "errors.txt"
        (folder / "run").mkdir()
        key = base64.b64encode(bytes([1]) * 32).decode()
        self.settings.write_text(
            f'[node]\nname = "a"\nstate = "{folder}/state"\nruntime = "{folder}/run"\n'
            f'[sip]\nlisten = ["udp:127.0.0.1:0"]\n'
            '[[retention]]\ncategory = "general"\nkeep = "by hand"\n'
            f'[recording]\nofficer_key = "{key}"\n'
            f'[desk]\nlisten = "127.0.0.1:{self.port}"\n[event_stream]\n'
        )
        self.switch = FakeSwitch(load(self.settings).switch_socket)
        self.desk = self.client = None

    async def start_desk(self):
        links = len(self.switch.of(SetPhones))
        self.desk = Child(
            [*GALWAD, "serve", "--only", "desk", "--config", self.settings], stderr=DEVNULL
        )
        await until(lambda: len(self.switch.of(SetPhones)) > links, PATIENCE_S)

    def start_client(self):
        with self.errors.open("ab") as errors:
            self.client = Child(
                [
                    *(sys.executable, PROGRAM, f"http://127.0.0.1:{self.port}"),
                    *("--token-file", self.token, "--out", self.out),
                ],
                stderr=errors,
            )

    @staticmethod
    def kill(process):
        if process is not None:
            process.kill()
            process.wait()

    def documents(self):
        """Return the documents in the client's file, except a last line that is not complete."""
        text = self.out.read_text() if self.out.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def kinds(self, call_id=""):
        """Return the types of the documents about a call, or of all documents."""
        return [
            each["type"]
            for each in self.documents()
            if not call_id or each.get("data", {}).get("call_id") == call_id
        ]

    def has(self, call_id, kinds):
        return self.kinds(call_id) == kinds


@pytest.fixture
async def site(tmp_path):
    """A desk that runs, and a machine with the right `events`."""
    site = Site(tmp_path)
    await site.switch.start()
    await site.start_desk()
    administration = Administration(load(site.settings).database, "a")
    board = User("board", "machine", rights=frozenset({"events"}))
    async with administration.users() as users:
        site.token.write_text((await users.add(board)).token or "")
    yield site
    site.kill(site.client)
    site.kill(site.desk)
    await site.switch.stop()


ONCE = ["call.ringing", "call.answered", "call.ended"]


async def test_the_client_killed_at_any_time_misses_no_event_and_writes_none_twice(site):
    site.start_client()
    await until(lambda: site.kinds() == ["ready"], PATIENCE_S)
    calls = [f"20261125-101500-{letter * 8}" for letter in "abcdef"]
    for call_id in calls:
        site.switch.ring(call_id)
        await until(partial(site.has, call_id, ONCE[:1]), PATIENCE_S)
        site.switch.answer(call_id, "201", "sian")
        site.switch.hang_up(call_id)
        site.kill(site.client)  # perhaps before, while or after it writes these two
        site.start_client()
    await until(lambda: len(site.documents()) >= 1 + 3 * len(calls), PATIENCE_S)
    assert [site.kinds(call_id) for call_id in calls] == [ONCE] * len(calls)
    ids = [each["id"] for each in site.documents()]
    assert len(set(ids)) == len(ids)


async def test_a_desk_that_is_killed_loses_no_event_and_repeats_none(site):
    site.start_client()
    await until(lambda: site.kinds() == ["ready"], PATIENCE_S)
    first, second = (f"20261125-101500-{letter * 8}" for letter in "ab")
    site.switch.ring(first)
    site.switch.ring(second)
    await until(lambda: len(site.documents()) == 3, PATIENCE_S)
    site.switch.answer(first, "201", "sian")
    site.kill(site.desk)  # perhaps before it has stored this event
    site.switch.answer(second, "202", "huw")
    await site.start_desk()
    await until(lambda: len(site.documents()) == 5, PATIENCE_S)
    for call_id in (first, second):
        site.switch.hang_up(call_id)
    await until(lambda: len(site.documents()) >= 7, PATIENCE_S)
    assert [site.kinds(call_id) for call_id in (first, second)] == [ONCE, ONCE]
    assert site.client.poll() is None, site.errors.read_text()


async def test_a_last_line_that_was_cut_off_is_written_again(site):
    site.start_client()
    await until(lambda: site.kinds() == ["ready"], PATIENCE_S)
    call_id = "20261125-101500-aaaaaaaa"
    site.switch.ring(call_id)
    await until(lambda: site.kinds(call_id) == ONCE[:1], PATIENCE_S)
    site.kill(site.client)
    site.out.write_bytes(site.out.read_bytes()[:-10])
    site.start_client()
    await until(lambda: site.kinds(call_id) == ONCE[:1], PATIENCE_S)
    assert site.kinds() == ["ready", "call.ringing"]


async def test_a_position_that_is_too_old_is_marked_in_the_file(site):
    unknown = "00000000-0000-0000-0000-000000000000"
    site.out.write_text(json.dumps({"type": "call.ended", "id": unknown}) + "\n")
    site.start_client()
    await until(lambda: site.kinds() == ["call.ended", "missed"], PATIENCE_S)
    site.switch.ring("20261125-101500-aaaaaaaa")
    await until(lambda: site.kinds()[2:] == ["call.ringing"], PATIENCE_S)


async def test_the_client_ends_if_the_desk_refuses_its_token(site):
    site.token.write_text("galwad_unknown")
    site.start_client()
    assert await asyncio.to_thread(site.client.wait) == 1
    assert "error: status 401" in site.errors.read_text()
