"""A real desk with a scripted switch, and the clients that sign in to it."""

from __future__ import annotations

import asyncio
import functools
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import msgspec
from argon2 import PasswordHasher
from fastapi import FastAPI
from starlette.routing import BaseRoute

from config.values import HostPort
from galwad.api import app as api
from galwad.desk import Desk, server_of
from galwad.host.app import DeskServer
from galwad.host.connections.protocol import PhaseLimits
from galwad.host.database import open_engine
from galwad.link import Link, serve
from galwad.messages import (
    AnyMessage,
    CallChanged,
    CallEnded,
    CallerFacts,
    CallsSnapshot,
    CallStatus,
    DialNumber,
    Hello,
    Indexed,
    Party,
    Pause,
    PauseReply,
    PhoneAct,
    PhoneReply,
    RecordingStateName,
    Resume,
    Sealed,
    own_version,
)
from galwad.people.store import Users
from galwad.people.user import Role, User
from galwad.settings import Settings
from helpers.database import create_database

PASSWORD = "correct horse battery"
PATIENCE_S = 10.0
"""The time limits of the desk itself."""
WAIT_S = 120.0
"""The longest wait for what a test expects. A busy machine needs ten times as long as another."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients without TLS. By default each would read the system's authorities, in 5 ms."""
_create_api = api.create_api
HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
"""Hashes passwords as fast as argon2 can. A real hash takes 50 ms of CPU time on purpose."""
TEAM = (
    User("sian", "advisor", extension="201"),
    User("huw", "advisor", extension="202"),
    User("mair", "supervisor"),
    User("gwen", "admin"),
)
_team_database: list[bytes] = []


@functools.cache
def _endpoints() -> list[BaseRoute]:
    return _create_api().router.routes


def _create_api_faster() -> FastAPI:
    """Return the API with the endpoints of all other desks in this process.

    FastAPI analyses the models of each endpoint before the first request of an application, which
    takes 0.1 s. Endpoints find their desk in the application of the request.
    """
    made = _create_api()
    made.router.routes[:] = _endpoints()
    return made


api.create_api = _create_api_faster


class FakeSwitch:
    """Speaks the switch's side of the protocol; replies to holds as a willing gate would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.calls: dict[str, CallStatus] = {}
        self.received: list[AnyMessage] = []
        self.silent = False
        self.durable = True
        self.version = own_version()
        self.refuses = ""
        """The reason with which it refuses acts and numbers to dial."""
        self.link: Link | None = None
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await serve(self.path, self._on_message)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self.link is not None:
            await self.link.close()
        self.path.unlink(missing_ok=True)

    async def _on_message(self, link: Link, message: AnyMessage) -> None:
        self.received.append(message)
        if isinstance(message, Hello):
            self.link = link
            calls = tuple(self.calls.values())
            link.send(CallsSnapshot(calls, self.version))
        elif isinstance(message, Pause | Resume) and not self.silent:
            self._gate(link, message)
        elif isinstance(message, PhoneAct | DialNumber) and not self.silent:
            link.send(PhoneReply(message.ref, self.refuses))
        async with self._news:
            self._news.notify_all()

    def _gate(self, link: Link, message: Pause | Resume) -> None:
        reached = [
            call
            for call in self.calls.values()
            if message.call_id == call.call_id
            or (call.advisor and message.extension == call.advisor.extension)
            or (call.advisor and message.user and message.user == call.advisor.user)
        ]
        state: RecordingStateName = "not_started"
        for call in reached:
            holders = set(call.holders) - {message.holder}
            if isinstance(message, Pause):
                holders.add(message.holder)
            state = "paused" if holders else "recording"
            self.change(
                call.call_id,
                holders=tuple(sorted(holders)),
                recording=state,
                durable=self.durable,
            )
        link.send(PauseReply(message.ref, tuple(c.call_id for c in reached), state, self.durable))

    async def until(self, kind: type, count: int = 1) -> list[AnyMessage]:
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(lambda: len(self.of(kind)) >= count)
        return self.of(kind)

    def of(self, kind: type) -> list[AnyMessage]:
        return [message for message in self.received if isinstance(message, kind)]

    def ring(self, call_id: str, *, number: str = "+441632960001", at=("201",), **facts) -> None:
        facts = {"from_user": number, "from_host": "pstn.example", **facts}
        self.calls[call_id] = CallStatus(
            call_id=call_id,
            version=1,
            started=1_800_000_000.0,
            since=1_800_000_000.0,
            line="Council Tax",
            called="01632960999",
            caller=CallerFacts(**facts),
            state="ringing",
            ringing=tuple(Party(extension) for extension in at),
        )
        self._tell(call_id)

    def answer(self, call_id: str, extension: str, user: str = "") -> None:
        self.change(
            call_id,
            state="answered",
            ringing=(),
            advisor=Party(extension, user),
            recording="recording",
            recording_since=1_800_000_005.0,
        )

    def change(self, call_id: str, **fields) -> None:
        call = self.calls[call_id]
        self.calls[call_id] = msgspec.structs.replace(call, version=call.version + 1, **fields)
        self._tell(call_id)

    def hang_up(self, call_id: str, talk_us: int | None = None) -> None:
        call = self.calls.pop(call_id)
        if self.link is not None:
            answered = call.advisor is not None
            self.link.send(CallEnded(call_id, 1_800_000_065.0, answered, talk_us))

    def _tell(self, call_id: str) -> None:
        if self.link is not None:
            self.link.send(CallChanged(self.calls[call_id]))


@dataclass
class Page:
    """A signed-in browser: a cookie jar and an open event stream."""

    http: httpx2.AsyncClient
    seen: list[tuple[str, str, dict]] = field(default_factory=list)
    _lines: AsyncIterator[str] | None = None
    _response: httpx2.Response | None = None

    async def open(self, last_id: str | None = None) -> dict:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        request = self.http.build_request("GET", "/api/v1/events", headers=headers)
        self._response = await self.http.send(request, stream=True)
        assert self._response.status_code == 200
        self._lines = self._response.aiter_lines()
        return {} if last_id else await self.event("snapshot")

    async def event(self, kind: str, want=lambda _data: True) -> dict:
        async with asyncio.timeout(WAIT_S):
            while True:
                event = await self._read()
                assert event is not None, "the stream has ended"
                if event[0] == kind and want(event[2]):
                    return event[2]

    async def next(self) -> tuple[str, str, dict] | None:
        """Return the next event that is not about presence; None at the end of the stream."""
        event = await self._read()
        while event is not None and event[0] == "presence":
            event = await self._read()
        return event

    async def _read(self) -> tuple[str, str, dict] | None:
        fields: dict[str, str] = {}
        assert self._lines is not None
        async for line in self._lines:
            if not line:
                if "data" in fields:
                    event = (fields["event"], fields["id"], json.loads(fields["data"]))
                    self.seen.append(event)
                    return event
                fields = {}
                continue
            name, _, value = line.partition(": ")
            fields[name] = value
        return None

    async def first(self, wanted):
        """The first pop that fits, in the page's snapshot or after it."""
        fitting = [pop for pop in (await self.open())["calls"] if wanted(pop)]
        return fitting[0] if fitting else await self.event("call", wanted)

    async def filled(self, call_id: str) -> dict:
        return await self.event(
            "call",
            lambda pop: pop["call_id"] == call_id and pop["caller"]["status"] != "looking_up",
        )

    async def close(self) -> None:
        if self._response is not None:
            await self._response.aclose()


async def create_team_database(path: Path) -> None:
    """Create a database in which the users of `TEAM` can sign in with `PASSWORD`."""
    create_database(path)
    if not _team_database:
        engine = open_engine(path)
        for user in TEAM:
            sip = "sip secret" if user.extension else None
            await Users(engine, HASHER).add(user, PASSWORD, sip)
        await engine.dispose()
        _team_database.append(await asyncio.to_thread(path.read_bytes))
    await asyncio.to_thread(path.write_bytes, _team_database[0])


def settings_in(folder: Path) -> Settings:
    """The settings of a desk in this folder, which listens on a free port of loopback."""
    settings = Settings.model_validate(
        {
            "node": {"state": folder, "runtime": folder},
            "sip": {"listen": ["udp:127.0.0.1:5060"]},
            "recording": {"officer_key": "B" * 43 + "="},
            "retention": [{"category": "general", "keep": "by hand"}],
        }
    )
    return changed(
        settings, desk={"listen": HostPort("127.0.0.1", 0)}, directory={"budget": PATIENCE_S}
    )


def changed(settings: Settings, **tables: object) -> Settings:
    """Return the settings with other values, which are not checked.

    A dictionary changes these settings of a table; anything else replaces the table.
    """
    update = {
        name: getattr(settings, name).model_copy(update=table) if isinstance(table, dict) else table
        for name, table in tables.items()
    }
    return settings.model_copy(update=update)


class Running:
    """A desk under test, with its switch, pages and folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive = folder / "archive"
        self.settings = settings_in(folder)
        self.switch = FakeSwitch(self.settings.switch_socket)
        self.server: DeskServer[Desk] | None = None
        self.limits: PhaseLimits | None = None
        self._clients: list[httpx2.AsyncClient] = []
        self._pages: list[Page] = []

    @property
    def desk(self) -> Desk:
        assert self.server is not None
        return self.server.desk

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.port}"

    async def start(self, sources=()) -> None:
        create_database(self.settings.database)
        self.server = server_of(Desk(self.settings, sources, HASHER), self.limits)
        await self.server.start()

    async def stop(self) -> None:
        for page in self._pages:
            await page.close()
        for client in self._clients:
            await client.aclose()
        self._pages, self._clients = [], []
        if self.server is not None:
            await self.server.stop()
            self.server = None

    async def add(self, name: str, role: Role = "advisor", extension=None, **more) -> None:
        machine = role == "machine"
        user = User(name, role, extension=extension, rights=frozenset(more.get("rights", ())))
        sip = "sip secret" if extension else None
        await self.desk.people.users.add(user, None if machine else PASSWORD, sip)

    def client(self, **more) -> httpx2.AsyncClient:
        more = {"verify": _NO_TLS, **more}
        client = httpx2.AsyncClient(base_url=self.url, timeout=WAIT_S, **more)
        self._clients.append(client)
        return client

    async def page(self, name: str) -> Page:
        client = self.client(headers={"Origin": self.url})
        reply = await client.post("/api/v1/login", json={"user": name, "password": PASSWORD})
        assert reply.status_code == 200, reply.text
        page = Page(client)
        self._pages.append(page)
        return page

    async def answered(self, call_id: str) -> Page:
        """Sian's page: her phone rang, the caller was looked up, and she has answered."""
        sian = await self.page("sian")
        await sian.open()
        self.switch.ring(call_id)
        await sian.filled(call_id)
        self.switch.answer(call_id, "201", "sian")
        await sian.event("call", lambda pop: pop["state"] == "answered")
        return sian

    async def machine(self, name: str, *rights: str) -> httpx2.AsyncClient:
        await self.add(name, "machine", rights=rights)
        token = await self.desk.people.sessions.open(name, "machine")
        return self.client(headers={"Authorization": f"Bearer {token}"})

    async def seal(self, *sealed: Sealed) -> Indexed:
        """Hand recordings in as the finaliser does, and wait for the first receipt."""
        reader, writer = await asyncio.open_unix_connection(self.settings.desk_socket)
        link = Link(reader, writer)
        link.send(Hello("finaliser", "0"))
        for each in sealed:
            link.send(each)
        try:
            async with asyncio.timeout(WAIT_S):
                reply = await link.receive()
        finally:
            await link.close()
        assert isinstance(reply, Indexed)
        return reply


async def until(condition: Callable[[], bool], seconds: float = WAIT_S) -> None:
    """Wait until `condition` is true."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


class Clock:
    """A clock that goes on when the test says so: `clock.now += 60`."""

    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now
