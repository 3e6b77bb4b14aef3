"""Desk and finaliser of one node at work in a thread, for what asks them over HTTP."""

import asyncio
import concurrent.futures
import threading

import httpx2

from config.values import HostPort
from galwad.desk import Desk, server_of
from galwad.finaliser.process import Finaliser, sealer_of
from galwad.finaliser.worker import Worker
from galwad.host.app import DeskServer
from galwad.people.user import Role, User
from helpers.database import create_database
from helpers.desk import HASHER, changed
from helpers.site import Site
from recording.archive.manifest import folder_of

PATIENCE_S = 60
_LOOK_ROUND_S = 2.0
"""At each the finaliser reminds the desk, whose work on that must be over by then."""


class House:
    """A node that seals, indexes and answers; `url` is where."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def __enter__(self):
        self._ready: concurrent.futures.Future[DeskServer[Desk]] = concurrent.futures.Future()
        self._ending = asyncio.Event()
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.server = self._ready.result(PATIENCE_S)
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()
        self.loop.close()

    def restart(self) -> None:
        """With the settings as they are now."""
        self.__exit__()
        self.__enter__()

    def _serve(self) -> None:
        self.loop.run_until_complete(self._work())

    async def _work(self) -> None:
        settings = self.site.settings
        settings = changed(settings, desk={"listen": HostPort("127.0.0.1", 0)})
        create_database(settings.database)
        server = server_of(Desk(settings, hasher=HASHER))
        try:
            await server.start()
        except BaseException as error:
            self._ready.set_exception(error)
            raise
        sealer = sealer_of(settings)
        finaliser = Finaliser(
            sealer,
            settings,
            [Worker(sealer)],
            look_round_s=_LOOK_ROUND_S,
            follow_s=0.05,
            index_wait_s=0.05,
        )
        self.look = finaliser._look_soon
        sealing = asyncio.create_task(finaliser.run())
        self._ready.set_result(server)
        await self._ending.wait()
        finaliser.stop()
        await sealing
        await server.stop()

    def do(self, work):
        """The result of a coroutine on the house's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    @property
    def desk(self) -> Desk:
        return self.server.desk

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def token(self, name: str, role: Role = "admin", *rights: str) -> str:
        """A new user's token, as `galwad login` gets it."""
        user = User(name, role, rights=frozenset(rights))
        machine = role == "machine"
        self.do(self.desk.people.users.add(user, None if machine else "correct horse battery"))
        return self.do(self.desk.people.sessions.open(name, "machine" if machine else "cli"))

    def account_made_by(self, token: str, name: str = "other") -> str:
        """Return the token of an administrator whom the owner of `token` makes."""
        with httpx2.Client(base_url=f"{self.url}/api/v1") as client:
            client.headers["Authorization"] = f"Bearer {token}"
            new = {"name": name, "role": "admin", "rights": ["purge"]}
            made = client.post("/users", json=new)
            login = {"user": name, "password": made.json()["password"], "client": "cli"}
            return client.post("/login", json=login).json()["token"]

    def record(self, *call_ids: str, later_caller: str = "") -> None:
        """Calls of two seconds, until each is in archive and index and its spool is gone."""
        for call_id in call_ids:
            spool = self.site.call(call_id, later_caller=later_caller)
            self.loop.call_soon_threadsafe(self.look)
            self.do(self.site.gone(spool))

    def path(self, call_id: str, suffix: str):
        """Where an object of the archive lies."""
        return self.site.settings.archive / folder_of(call_id) / f"{call_id}.{suffix}"

    def audit(self) -> list[tuple[str, dict]]:
        """Return the kinds and the facts, in order, but no alarms: these can come at any time."""
        entries = self.do(self.desk.host.audit.entries())
        return [
            (entry.kind, {**entry.facts, **entry.personal})
            for entry in entries
            if entry.kind != "alarm.raised"
        ]
