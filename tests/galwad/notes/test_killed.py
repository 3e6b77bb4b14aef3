"""Contact notes arrive exactly once, although desk and CRM fail again and again.

The CRM gives each new record an id of its own and has no way to ignore a repeated request. It is
down at first. Later, it often writes what it gets and then does not answer, or answers 503. The
desk is killed three times in between.

Covers `galwad/notes/delivery.py`.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from galwad.host.database import open_engine
from galwad.notes.rules import OpenNote
from galwad.notes.store import NoteStore
from helpers.database import create_database
from helpers.desk import until
from helpers.http_server import HttpServer, answer
from helpers.loopback import free_port
from helpers.notes import written
from helpers.processes import GALWAD, Child

pytestmark = pytest.mark.slow  # a hundred notes, and four starts of a desk

CALLS = 100
SETTINGS = """\
[node]
name = "notes"
state = "{folder}/state"
runtime = "{folder}/run"
[sip]
listen = ["udp:127.0.0.1:0"]
[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
[desk]
listen = "127.0.0.1:{port}"
[[directories]]
name = "crm"
kind = "http"
url = "{url}/people"
people = "items"
fields = {{ id = "id", name = "name", numbers = "phones" }}
[directories.contact_notes]
url = "{url}/ticket"
body = {{ subject = "{{subject}}", text = "{{text}}" }}
record_id = "id"
[directories.contact_notes.find]
url = "{url}/tickets"
query = {{ query = "{{call_id}}" }}
records = "items"
text = "subject"
[directories.contact_notes.change]
url = "{url}/ticket/{{record_id}}/comment"
body = {{ subject = "{{version_id}}", text = "{{text}}" }}
[directories.contact_notes.change.find]
url = "{url}/ticket/{{record_id}}/history"
records = "items"
text = "subject"
"""


class Tickets(HttpServer):
    """A ticket system. Each ticket is the list of the subjects of its texts."""

    def __init__(self):
        super().__init__()
        self.tickets: list[list[str]] = []
        self.down = True
        self.moods = random.Random(7)
        self.handler = self.serve

    async def reaches(self, number):
        """Wait until there are more than this number of tickets."""
        await until(lambda: len(self.tickets) > number, 120)

    async def serve(self, request, writer):
        mood = self.moods.random()
        if self.down or mood < 0.03:
            return answer({}, "503 Service Unavailable")
        *_, last = path = request.path.strip("/").split("/")
        if last == "tickets":
            ((_, call_id),) = request.query
            found = [(n, texts) for n, texts in enumerate(self.tickets) if call_id in texts[0]]
            return answer({"items": [{"id": n, "subject": texts[0]} for n, texts in found]})
        if last == "history":
            texts = self.tickets[int(path[1])]
            return answer({"items": [{"id": 1, "subject": each} for each in texts]})
        if last == "ticket":
            self.tickets.append([request.json["subject"]])
            number = len(self.tickets) - 1
        else:
            number = int(path[1])
            self.tickets[number].append(request.json["subject"])
        if mood > 0.9:  # written, but the sender does not learn it
            writer.close()
            return None
        return answer({"id": number}, "201 Created")


@pytest.fixture
async def crm():
    crm = Tickets()
    await crm.start()
    yield crm
    await crm.stop()


@pytest.fixture
async def settings(tmp_path, crm):
    """The settings of a desk whose database has 100 notes, every fourth in two versions."""
    (tmp_path / "run").mkdir()
    database = tmp_path / "state/desk/galwad.db"
    create_database(database)
    engine = open_engine(database)
    contacts = NoteStore(engine)
    for number in range(CALLS):
        call_id = f"20261125-10{number:04}-aaaaaaaa"
        await contacts.open_note(OpenNote(call_id, 1000.0, "Waste", "sian", "201"))
        await contacts.save(call_id, written("Missed collection", "cy"), 1000.0 + number)
        if number % 4 == 0:
            await contacts.save(call_id, written("Bulky waste", "cy"), 1000.5 + number)
    await engine.dispose()
    file = tmp_path / "galwad.toml"
    file.write_text(SETTINGS.format(folder=tmp_path, port=free_port(), url=crm.url))
    return file


def start(settings):
    return Child([*GALWAD, "serve", "--only", "desk", "--config", settings])


async def test_every_note_arrives_once_and_its_versions_in_sequence(crm, settings):
    desk = start(settings)
    try:
        await until(lambda: len(crm.received) > 1, 60)
        crm.down = False
        for number in (10, 30, 60):
            await crm.reaches(number)
            desk.kill()
            desk.wait()
            desk = start(settings)
        await until(lambda: sum(map(len, crm.tickets)) == CALLS + CALLS // 4, 240)
        await asyncio.sleep(2)  # a note that is written twice would come now
    finally:
        desk.kill()
        desk.wait()
    calls = [texts[0][-25:-1] for texts in crm.tickets]
    assert len(calls) == len(set(calls)) == CALLS
    versions = sorted(len(texts) for texts in crm.tickets)
    assert versions == [1] * (CALLS * 3 // 4) + [2] * (CALLS // 4)
    assert all(texts[1:] in ([], [f"{texts[0][-25:-1]}/2"]) for texts in crm.tickets)
