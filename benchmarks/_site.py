"""A whole site for benchmarks: settings, keys, users, and Galwad's processes as systemd has them.

Two trunks and two lines: what comes to or from `CALLER` and `CALLEE` has to send its media from the
host that its SDP names, what comes to or from the `LATCHING` ones from wherever it likes.
"""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
from _common import CALLEE, CALLER, MEMORY, SWITCH, daemon, free_port, said

from galwad.desk.database import open_engine, upgrade
from galwad.desk.users import User, Users
from recording.keys import OfficerKeys, RecipientSet

LATCHING_CALLER, ECHO = "127.0.0.5", "127.0.0.6"
LINE, LATCHING_LINE, ECHO_LINE = "01970000100", "01970000200", "01970000300"
PASSWORD = "correct horse battery"
ADMIN = "ceri"
FIRST_PORT = 20_000
"""Of the media, where nothing else is said."""
SETTINGS = """
[node]
state = "{folder}/state"
runtime = "{runtime}"
[sip]
listen = ["udp:127.0.0.1:{sip}"]
max_calls = {calls}
max_lag = 10.0
trunk_rate = 10000
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
[media]
listen = "127.0.0.1"
ports = "{first}-{last}"
[recording]
officer_key = "{officer}"
recipients = "{recipients}"
[desk]
listen = "127.0.0.1:{desk}"
"""


class Site:
    """Its folders and ports; `running` starts its processes."""

    def __init__(self, folder: Path, runtime: Path, calls: int, first_port: int) -> None:
        self.folder = folder
        self.sip, self.pbx = free_port(SWITCH), free_port(CALLEE)
        self.echo, self.desk = free_port(ECHO), free_port(SWITCH)
        self.database = folder / "state" / "desk" / "galwad.db"
        self.archive = folder / "state" / "archive"
        self._settings = folder / "galwad.toml"
        officer = OfficerKeys.generate()
        self.identity = officer.identity
        self.identity_file = folder / "identity.txt"
        officer.save(self.identity_file)
        recipients = RecipientSet.of([("officer", self.identity.recipient)], 1)
        (folder / "recipients.json").write_bytes(recipients.sign(officer.signing))
        text = SETTINGS.format(
            folder=folder,
            runtime=runtime,
            sip=self.sip,
            pbx=self.pbx,
            echo_port=self.echo,
            desk=self.desk,
            calls=calls,
            first=first_port,
            last=first_port + 4 * calls + 399,
            officer=officer.public_key,
            recipients=folder / "recipients.json",
            caller=CALLER,
            callee=CALLEE,
            echo=ECHO,
            latching_caller=LATCHING_CALLER,
            line=LINE,
            latching_line=LATCHING_LINE,
            echo_line=ECHO_LINE,
        )
        self._settings.write_text(text, encoding="utf-8")

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://{SWITCH}:{self.desk}"

    def add_users(self, *supervisors: str) -> None:
        """The administrator, and these."""
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
        """These processes, each by its pid."""
        with contextlib.ExitStack() as stack:
            pids = {}
            for name in names:
                command = [sys.executable, "-m", "galwad", "serve", "--only", name]
                command += ["--config", str(self._settings)]
                log = self.log(name)
                ready = said(log, f"{name}.ready".encode())
                pids[name] = stack.enter_context(daemon(command, log, ready)).pid
            yield pids

    def log(self, name: str) -> Path:
        """What a process writes."""
        return self.folder / f"{name}.log"

    def sign_in(self, user: str = ADMIN) -> str:
        """A token of theirs."""
        body = {"user": user, "password": PASSWORD, "client": "cli"}
        reply = httpx.post(f"{self.url}/api/v1/login", json=body, timeout=60)
        return str(reply.raise_for_status().json()["token"])


@contextlib.contextmanager
def site(calls: int, first_port: int = FIRST_PORT) -> Iterator[Site]:
    """One in a folder of its own, its runtime folder in memory as /run is."""
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(dir=MEMORY) as runtime,
    ):
        yield Site(Path(folder), Path(runtime), calls, first_port)
