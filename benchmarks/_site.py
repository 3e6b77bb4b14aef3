"""A whole site for benchmarks: settings, keys, users, and Galwad's processes as systemd runs them.

It has two trunks and three lines. Media to and from `CALLER`, `CALLEE` and `ECHO` must come from
the host in their SDP. With the trunk at `LATCHING_CALLER`, and on `LATCHING_LINE`, they may come
from any address.
"""

import asyncio
import contextlib
import hashlib
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from _common import (
    CALLEE,
    CALLER,
    FIRST_PORT,
    MEMORY,
    SWITCH,
    daemon,
    free_port,
    said,
    settle,
)

from galwad.host.database import open_engine, upgrade
from galwad.people.store import Users
from galwad.people.user import User
from recording.age.file import Identity
from recording.keys.keyring import RecipientSet

LATCHING_CALLER, ECHO = "127.0.0.5", "127.0.0.6"
LINE, LATCHING_LINE, ECHO_LINE = "01970000100", "01970000200", "01970000300"
PASSWORD = "correct horse battery"
ADMIN = "ceri"
WHY = {"purpose": "complaint", "reference": "C-1024"}
"""The purpose and reference with which a recording is fetched."""
PARTIES = """
[desk]
listen = "{switch}:{desk}"
[[trunks]]
name = "trunk"
peers = ["{caller}"]
[[trunks]]
name = "behind-nat"
peers = ["{latching_caller}"]
source = "latch"
[[routes]]
called = "{line}"
target = "sip:600@{callee}:{pbx}"
line = "Council Tax"
[[routes]]
called = "{latching_line}"
target = "sip:600@{callee}:{pbx}"
source = "latch"
line = "Housing"
[[routes]]
called = "{echo_line}"
target = "sip:600@{echo}:{echo_port}"
line = "Waste"
"""


@dataclass(frozen=True)
class Listed:
    """The facts about a recording in the index."""

    call_id: str
    folder: Path
    talk_us: int
    size: int
    """The size of the payload in bytes."""


class Site:
    """The site's folders and ports; `running` starts its processes."""

    def __init__(self, folder: Path, runtime: Path, calls: int, first_port: int) -> None:
        self.folder = folder
        self.sip, self.pbx = free_port(SWITCH), free_port(CALLEE)
        self.echo, self.desk = free_port(ECHO), free_port(SWITCH)
        self.database = folder / "state" / "desk" / "galwad.db"
        self.archive = folder / "state" / "archive"
        self.spool = folder / "state" / "spool"
        parties = PARTIES.format(
            switch=SWITCH,
            desk=self.desk,
            caller=CALLER,
            callee=CALLEE,
            pbx=self.pbx,
            echo=ECHO,
            echo_port=self.echo,
            latching_caller=LATCHING_CALLER,
            line=LINE,
            latching_line=LATCHING_LINE,
            echo_line=ECHO_LINE,
        )
        self.settings_file, self.officer = settle(
            folder, runtime, parties, sip=self.sip, calls=calls, first_port=first_port
        )
        self.identity = self.officer.identity
        self.identity_file = folder / "identity.txt"
        self.officer.save(self.identity_file)

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://{SWITCH}:{self.desk}"

    def add_users(self, *supervisors: str) -> None:
        """Add the administrator and these supervisors."""
        upgrade(self.database)

        async def add() -> None:
            engine = open_engine(self.database)
            users = Users(engine)
            await users.add(User(ADMIN, "admin"), PASSWORD)
            for name in supervisors:
                await users.add(User(name, "supervisor"), PASSWORD)
            await engine.dispose()

        asyncio.run(add())

    @contextlib.contextmanager
    def running(self, *names: str) -> Iterator[dict[str, int]]:
        """Run these processes; yield each one's process id."""
        with contextlib.ExitStack() as stack:
            pids = {}
            for name in names:
                command = [sys.executable, "-m", "galwad", "serve", "--only", name]
                command += ["--config", str(self.settings_file)]
                log = self.log(name)
                ready = said(log, f"{name}.ready".encode())
                pids[name] = stack.enter_context(daemon(command, log, ready)).pid
            yield pids

    def log(self, name: str) -> Path:
        """Return the path of a process's log."""
        return self.folder / f"{name}.log"

    def sign_in(self, user: str = ADMIN) -> str:
        """Sign a user in; return the token."""
        body = {"user": user, "password": PASSWORD, "client": "cli"}
        reply = httpx2.post(f"{self.url}/api/v1/login", json=body, timeout=60)
        return str(reply.raise_for_status().json()["token"])

    def listed(self, numbers: Sequence[str]) -> dict[str, Listed]:
        """Return the recordings of these callers that the index has now, by number."""
        marks = ",".join("?" * len(numbers))
        columns = "number, call_id, folder, talk_us, payload_size"
        text = f"SELECT {columns} FROM recordings WHERE number IN ({marks})"
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            rows = database.execute(text, numbers).fetchall()
        return {row[0]: Listed(row[1], self.archive / row[2], *row[3:]) for row in rows}

    def change_recipients(self) -> None:
        """Sign a set with one more recipient, so that every present header becomes an old one."""
        another = Identity.generate().recipient
        people = RecipientSet.of([("officer", self.identity.recipient), ("second", another)], 2)
        (self.folder / "recipients.json").write_bytes(people.sign(self.officer.signing))


async def fetch(client: httpx2.AsyncClient, call_id: str) -> None:
    """Fetch a whole recording, and check that it is the sealed one."""
    reply = await client.post(f"/api/v1/recordings/{call_id}/fetch", json=WHY)
    payload = reply.raise_for_status().content[int(reply.headers["X-Galwad-Header-Length"]) :]
    if hashlib.sha256(payload).hexdigest() != reply.headers["X-Galwad-Payload-SHA256"]:
        raise SystemExit("a fetched recording is not what was sealed")


@contextlib.contextmanager
def site(calls: int, first_port: int = FIRST_PORT) -> Iterator[Site]:
    """Create a site in a temporary folder, with its runtime folder in memory as /run is."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(dir=MEMORY) as runtime,
    ):
        yield Site(Path(folder), Path(runtime), calls, first_port)
