"""Count the functions and files of the product on five trips, in this process.

    python scripts/trips.py     with the packages of `scripts/check`; prints JSON

A trip is run with the helpers of the tests. Only functions that it calls count, each once, whether
they are called in the event loop or in a thread that the trip starts.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType, SimpleNamespace

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from callerid.directories.http import HttpDirectorySection  # noqa: E402
from galwad.finaliser.process import sealer_of  # noqa: E402
from galwad.messages import Pause, Sealed  # noqa: E402
from galwad.settings import load  # noqa: E402
from galwad.switch.call.commands import DeskCommands  # noqa: E402
from galwad.switch.edge.phones import Phones  # noqa: E402
from galwad.switch.edge.routing import AwayUsers  # noqa: E402
from helpers.desk import Running, changed, create_team_database  # noqa: E402
from helpers.http_server import HttpServer, answer  # noqa: E402
from helpers.site import Site  # noqa: E402
from helpers.switch import SWITCH, Centre  # noqa: E402

PRODUCT = tuple(
    f"{ROOT}/{name}/" for name in ("telephony", "recording", "callerid", "net", "galwad")
)
CALL = "20261125-101500-aaaaaaaa"
TARGET = "192.0.2.201"
SETTINGS = """
[[trunks]]
name = "pstn"
peers = ["192.0.2.1"]
trusted = true
[[routes]]
called = "*"
target = "sip:201@192.0.2.201"
"""
PEOPLE = {"items": [{"id": 7, "name": "Mair Evans", "phones": ["+441632960001"]}]}
Trips = dict[str, dict[str, int]]


@contextmanager
def counted(trips: Trips, name: str) -> Iterator[None]:
    """Count the functions and files that the `with` block uses."""
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PRODUCT) and code.co_name[0] != "<":
            seen.add(code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    files = {code.co_filename for code in seen}
    trips[name] = {"functions": len(seen), "files": len(files)}


async def in_the_switch(folder: Path, trips: Trips) -> None:
    """Measure an INVITE until our INVITE is sent, and a command until its pause is durable."""
    site = Site(folder / "switch")
    with site.config.open("a", encoding="utf-8") as file:
        file.write(SETTINGS)
    settings = site.settings
    phones = Phones(settings.node.state / "switch", settings.phones, settings.sip.realm)
    centre = Centre(settings, phones)
    centre.phone(TARGET, "201")
    trunk = centre.phone("192.0.2.1", "01632960001")
    trunk.centre = SimpleNamespace(run=lambda: None)  # the INVITE waits in the trunk's outbox
    trunk.call("01970000000")
    (invite,) = trunk.endpoint.outgoing()
    with counted(trips, "invite_to_our_invite"):
        centre.endpoint.receive(invite.data, trunk.address, SWITCH, time.monotonic())
        centre.work()
        sent = centre.endpoint.outgoing()
    assert any(datagram.data.startswith(b"INVITE ") for datagram in sent)
    for datagram in sent:
        there = centre.nodes[datagram.destination]
        there.endpoint.receive(datagram.data, SWITCH, datagram.destination, time.monotonic())
    centre.run()
    (call_id,) = centre.calls
    commands = DeskCommands(centre.calls, phones, AwayUsers())
    with counted(trips, "command_to_durable_pause"):
        reply = await commands.pause(Pause(1, "payment", "api", "pay", call_id=call_id))
    assert reply.durable
    centre.end()


async def in_the_desk(folder: Path, trips: Trips) -> None:
    """Measure a ringing call until the page shows the caller, and a note until the CRM has it."""
    server = HttpServer()
    server.handler = respond
    await server.start()
    crm = HttpDirectorySection.model_validate(
        {
            "name": "crm",
            "kind": "http",
            "url": f"{server.url}/people",
            "people": "items",
            "fields": {"id": "id", "name": "name", "numbers": "phones"},
            "contact_notes": {
                "url": f"{server.url}/ticket",
                "body": {"subject": "{subject}"},
                "record_id": "id",
                "idempotent": True,
                "change": {
                    "url": f"{server.url}/ticket/{{record_id}}",
                    "body": {"text": "{text}"},
                    "idempotent": True,
                },
            },
        }
    )
    running = Running(folder)
    running.settings = changed(running.settings, directories=[crm])
    await running.switch.start()
    await create_team_database(running.settings.database)
    await running.start()
    sian = await running.page("sian")
    await sian.open()
    with counted(trips, "lookup_to_pop"):
        running.switch.ring(CALL, number="01632960001")
        pop = await sian.filled(CALL)
    assert pop["caller"]["status"] == "found"
    running.switch.answer(CALL, "201", "sian")
    await sian.event("call", lambda pop: pop["state"] == "answered")
    running.switch.hang_up(CALL)
    await sian.event("call", lambda pop: pop["state"] == "wrapup")
    before = len(server.received)
    with counted(trips, "note_to_crm"):
        await sian.http.put(f"/api/v1/calls/{CALL}/contact", json={"purpose": "Waste"})
        async with asyncio.timeout(60):
            while len(server.received) == before:  # noqa: ASYNC110 - the server has no event
                await asyncio.sleep(0.01)
    await running.stop()
    await running.switch.stop()
    await server.stop()


async def respond(request: object, _writer: object) -> bytes:
    """Answer as a CRM that knows one person and accepts each note."""
    return answer({**PEOPLE, "id": 1, "path": str(request)})


def in_the_finaliser(folder: Path, trips: Trips) -> None:
    """Measure the spool of an ended call until its recording is sealed in the archive."""
    site = Site(folder / "finaliser")
    site.call(CALL)
    sealer = sealer_of(load(site.config))
    with counted(trips, "recording_to_archive"):
        sealed = sealer.seal(CALL)
    assert isinstance(sealed, Sealed)


def count() -> Trips:
    """Return the functions and files of each trip."""
    trips: Trips = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        asyncio.run(in_the_switch(folder, trips))
        asyncio.run(in_the_desk(folder, trips))
        in_the_finaliser(folder, trips)
    return trips


if __name__ == "__main__":
    print(json.dumps(count(), indent=2))
