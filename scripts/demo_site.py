"""The demo's site: a folder with keys, settings, people and users, and the daemon on loopback.

Everything is done with the real `galwad` command, in a new process each time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import secrets
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from demo_report import Unseen, expect

_CRM = Path(__file__).with_name("demo_crm.py")
GALWAD = Path(sys.executable).with_name("galwad")
HOST = "127.0.0.1"
PORTS = 400
"""The number of ports: 200 for the switch's media, 120 for the phones', and a few more."""

CALLER = "01632960123"
LINE = "01632960000"
DEPARTMENT = "301"

PEOPLE = """\
reference,name,numbers,language,shared,address,postcode,notes
R-1001,Gwen Protheroe,01632 960123,cy,no,"12 Heol yr Eglwys, Aberdrama",ZZ1 1AA,Pays by card
R-1002,Aled and Mair Bevan,01632 960456|07700 900456,en,yes,"3 Station Road, Aberdrama",ZZ1 2BB,
R-1003,Tomos Pritchard,07700 900321,en,no,"8 Harbour View, Aberdrama",ZZ1 3CC,
"""


def _is_free(port: int) -> bool:
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET, kind) as probe:
                probe.bind((HOST, port))
    except OSError:
        return False
    return True


def free_ports() -> int:
    """Return the first of `PORTS` free ports in a row, outside the range that Linux gives out."""
    for first in random.sample(range(4_000, 10_000, PORTS), 6_000 // PORTS):
        if all(map(_is_free, range(first, first + PORTS))):
            return first
    raise SystemExit(f"error: no {PORTS} ports in a row are free from 4000 to 9999")


@dataclass
class Site:
    """The demo's folder, ports and accounts; the media's ports come first."""

    folder: Path
    media_base: int = field(default_factory=free_ports)
    housing_password: str = field(default_factory=secrets.token_urlsafe)
    daemon: asyncio.subprocess.Process | None = None
    crm: asyncio.subprocess.Process | None = None
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        last = self.media_base + PORTS
        self.sip_port, self.trunk_port, self.department_port, self.desk_port = range(last - 4, last)
        self.crm_port = last - 5

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "galwad.toml"

    @property
    def state(self) -> Path:
        """The state folder of the service."""
        return self.folder / "state"

    @property
    def keys(self) -> Path:
        """The officer's folder; in real life it is on another machine."""
        return self.folder / "officer"

    @property
    def log(self) -> Path:
        """The log of the daemon."""
        return self.folder / "galwad.log"

    @property
    def crm_token(self) -> Path:
        """The file with the token for the CRM; in real life it is a systemd credential."""
        return self.folder / "crm-token"

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://{HOST}:{self.desk_port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of commands: the demo's settings, and a sign-in of its own."""
        ours = {"GALWAD_CONFIG": str(self.config), "XDG_CONFIG_HOME": str(self.keys / "config")}
        return {k: v for k, v in os.environ.items() if not k.startswith("GALWAD_")} | ours

    async def run(self, *words: str, stdin: str = "") -> str:
        """Run a `galwad` command; return its output.

        Raises:
            Unseen: The command failed.
        """
        process = await asyncio.create_subprocess_exec(
            GALWAD,
            *words,
            env=self.environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        said = err.decode().strip() or f"exit status {process.returncode}"
        expect(process.returncode == 0, f"`galwad {' '.join(words)}` to succeed", said)
        return out.decode()

    async def ask(self, *words: str, stdin: str = "") -> Any:
        """Run a command with --json; return its answer."""
        return json.loads(await self.run(*words, "--json", stdin=stdin))

    def write_settings(self, officer_key: str) -> None:
        """Write galwad.toml."""
        base = self.media_base
        account = f"{DEPARTMENT}:galwad:{self.housing_password}".encode()
        housing = hashlib.md5(account, usedforsecurity=False).hexdigest()
        text = f"""\
[node]
name = "demo"
state = "{self.state}"
runtime = "{self.folder / "run"}"

[sip]
listen = ["udp:{HOST}:{self.sip_port}"]
max_lag = 10  # a laptop may be busy with other things: its one call is not to be refused

# The telephone network: the demo's caller sends from this very port.
[[trunks]]
name = "network"
peers = ["{HOST}:{self.trunk_port}"]
trusted = true

[[routes]]
called = "{LINE}"
ring = ["201"]
line = "Council Tax"

# Housing: a department outside the centre, where recording must cease.
[[destinations]]
match = "{DEPARTMENT}"
class = "department"

# Its phone registers here all the same.
[[phones]]
extension = "{DEPARTMENT}"
ha1_md5 = "{housing}"

[[routes]]
called = "201"
ring = ["201"]
line = "Sian's extension"

[media]
listen = "{HOST}"
ports = "{base}-{base + 199}"

[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "{officer_key}"
# So that you can ring from a softphone of your own and be recorded.
include_phones = true

[desk]
listen = "{HOST}:{self.desk_port}"

# The council's CRM, in which callers are looked up beside the imported directory.
[[directories]]
name = "crm"
kind = "http"
url = "http://{HOST}:{self.crm_port}/people/search"
method = "POST"
body = {{ phones = "{{spellings}}" }}
people = "people"
fields = {{ id = "id", name = "fullname", numbers = "phones", language = "language", \
details = {{ reference = "id", open_case = "openCase" }} }}
authentication = {{ kind = "bearer", secret_file = "{self.crm_token}" }}
"""
        self.config.write_text(text, encoding="utf-8")

    async def add_user(self, name: str, role: str, extension: str = "") -> dict[str, Any]:
        """Add a user with a generated password."""
        words = ["users", "add", name, "--role", role, "--generate"]
        if extension:
            words += ["--extension", extension]
        account: dict[str, Any] = await self.ask(*words)
        self.accounts[name] = account
        return account

    async def start_crm(self) -> None:
        """Start the CRM, and wait until it is ready.

        Raises:
            Unseen: It stopped.
            TimeoutError: It is not ready after 10 s.
        """
        self.crm_token.write_text(secrets.token_urlsafe(), encoding="utf-8")
        self.crm_token.chmod(0o600)
        with (self.folder / "crm.log").open("wb") as log:
            # In its own session, it does not get Ctrl-C. The demo gets it, and stops the CRM.
            self.crm = await asyncio.create_subprocess_exec(
                *(sys.executable, _CRM, HOST, str(self.crm_port), self.crm_token),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self.crm.stdout is not None
        async with asyncio.timeout(10):
            first = await self.crm.stdout.readline()
        expect(first == b"ready\n", "the CRM to start", f"see {self.folder / 'crm.log'}")

    async def start(self) -> None:
        """Start `galwad serve`, and wait until all three processes are ready.

        Raises:
            Unseen: It stopped.
            TimeoutError: It is not ready after 90 s.
        """
        with self.log.open("wb") as log:
            # In its own session, it does not get Ctrl-C. The demo gets it, and stops the daemon.
            self.daemon = await asyncio.create_subprocess_exec(
                GALWAD,
                "serve",
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        client = httpx2.AsyncClient(base_url=self.url, trust_env=False)  # no proxy
        async with client, asyncio.timeout(90):
            while not await self._ready(client):
                if self.daemon.returncode is not None:
                    raise Unseen("that `galwad serve` stays up", self._last_words())
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Send SIGTERM to the daemon, as systemd does; kill it after 15 s. Then end the CRM."""
        try:
            await self._stop_daemon()
        finally:
            if self.crm is not None and self.crm.returncode is None:
                self.crm.kill()
                await self.crm.wait()

    async def _stop_daemon(self) -> None:
        if self.daemon is None or self.daemon.returncode is not None:
            return
        self.daemon.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(15):
                await self.daemon.wait()
        except TimeoutError:
            self.daemon.kill()
            await self.daemon.wait()

    async def _ready(self, client: httpx2.AsyncClient) -> bool:
        try:
            answer = await client.get("/api/v1/health")
        except httpx2.HTTPError:
            return False
        health = answer.json()
        connected = health["status"] == "ok" and health["switch"] and health["finaliser"]
        # The desk sends the phone accounts to the switch after it has connected. Until the switch
        # logs that it has them, it would refuse the phones.
        return bool(connected and b"phones.set" in self.log.read_bytes())

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return f"{lines[-1] if lines else 'nothing'} (all of it in {self.log})"
