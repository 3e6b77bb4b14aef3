"""The service under test: the real processes, started as systemd starts them.

Each process is `galwad serve --only …` with its own settings file on loopback; it is
ready when it sends READY=1. Its log is read as it is written, and judged at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

from helpers.loopback import claim, free_port
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import GALWAD, Child, run_galwad

CALLER = "01632960123"
"""The number that every caller has; a log line that holds it fails the test."""
PASSWORD = "correct horse battery"
PHONES = ("301", "302", "303", "304")
"""Static phones; the last speaks SRTP alone."""

SETTINGS = """\
[node]
name = "peers-1"
state = "{folder}/state"
runtime = "{folder}/run"

[sip]
listen = [{listen}]
{more_sip}
recall_timeout = 20
max_calls = {max_calls}
# How busy the machine is that runs the tests must refuse no call.
max_lag = 10

[[trunks]]
name = "trunk"
peers = [{trunk_peers}]
trusted = true
srtp = "{trunk_srtp}"

[[phones]]
extension = "301"
ha1_md5 = "{ha1_301}"

[[phones]]
extension = "302"
ha1_md5 = "{ha1_302}"

[[phones]]
extension = "303"
ha1_md5 = "{ha1_303}"

[[phones]]
extension = "304"
ha1_md5 = "{ha1_304}"
srtp = "required"

[[routes]]
called = "01970000100"
ring = ["201"]
line = "Council Tax"
srtp = "{route_srtp}"

[[routes]]
called = "01970000200"
target = "sip:600@127.0.0.3:{pbx_port}{pbx_way}"
line = "Main number"
advisors = ["sian"]
srtp = "{route_srtp}"
options_every = {options_every}

[[routes]]
called = "01970000300"
ring = ["301", "302", "303"]
line = "Housing"

[[destinations]]
match = "500"
class = "department"
target = "sip:500@127.0.0.4:{department_port}"

[media]
listen = {media_listen}
ports = "{media_ports}"

[[retention]]
category = "general"
keep = "by hand"
[recording]
officer_key = "{officer_key}"
recipients = "{recipients}"
payment_code_on = "*71"
payment_code_off = "*72"
{erase_back}
point_of_transfer = "{point_of_transfer}"

[desk]
listen = "127.0.0.1:{desk_port}"
"""


class Process:
    """One process of the service and its log."""

    def __init__(self, name, config, folder, log, within=(), *, fresh=False):
        self.name = name
        self._log = log
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = folder / f"{name}.notify"
        path.unlink(missing_ok=True)
        self.notify.bind(str(path))
        self.notify.settimeout(2 * PATIENCE_S)
        self.process = Child(
            [*within, *GALWAD, "serve", "--only", name, "--config", str(config)],
            env={**os.environ, "NOTIFY_SOCKET": str(path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            fresh=fresh,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self):
        return self.process.pid

    def wait_ready(self):
        """Wait for READY=1."""
        while True:
            try:
                if b"READY=1" in self.notify.recv(4096):
                    return
            except TimeoutError:
                raise AssertionError(f"{self.name} is not ready: {self._log.tail()}") from None

    def _read(self):
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._log.add(self.name, line.decode(errors="replace").rstrip("\n"))

    def end(self, number=signal.SIGTERM):
        """Signal it and wait for its end; if it stays, send a second signal, then SIGKILL."""
        for following, patience in ((number, 1.5), (signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if self.process.poll() is None:
                self.process.send_signal(following)
            try:
                self.process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        self._reader.join(5)
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.notify.close()


class Log:
    """The lines of all processes, in order of arrival."""

    def __init__(self):
        self.lines = []
        self._events = []
        self._changed = threading.Condition()

    def add(self, process, line):
        with self._changed:
            self.lines.append((process, line))
            with suppress(ValueError):  # of a line that is no JSON
                self._events.append(json.loads(line))
            self._changed.notify_all()

    def tail(self, count=15):
        """Return the last lines, for an error message."""
        return "\n".join(line for _, line in self.lines[-count:])

    def events(self, name=None, **fields):
        """Return the events of this name with these fields."""
        return [
            event
            for event in list(self._events)
            if name in {None, event.get("event")} and fields.items() <= event.items()
        ]

    def wait(self, name, count=1, seconds=PATIENCE_S, **fields):
        """Wait until there are `count` such events, and return the last one."""
        with self._changed:
            there = self._changed.wait_for(
                lambda: len(self.events(name, **fields)) >= count, seconds
            )
        assert there, f"no {name} in the log:\n{self.tail()}"
        return self.events(name, **fields)[count - 1]


class Service:
    """Settings, keys, users and the three processes in one folder."""

    def __init__(
        self,
        folder,
        keys,
        *,
        max_calls=50,
        media_ports=400,
        listen=(),
        more_sip="",
        pbx_way="",
        media_listen='"127.0.0.1"',
        trunk_srtp="optional",
        route_srtp="optional",
        options_every=0,
        trunk_peers='"127.0.0.2"',
        erase_back="erase_back = 0",
        point_of_transfer="answer",
        more="",
        name_server="",
        fresh=False,
    ):
        """`erase_back` is 0, so that tests can compare what was said until the pause.

        `listen` adds addresses, such as "tcp:127.0.0.1"; `ports` has their port numbers.

        `more` are further tables of the settings, in which {department_port} is known.

        The processes ask the name server at the address `name_server`, if there is one. They are
        not forked if they are to be `fresh`.
        """
        self.folder = folder
        self.keys = keys
        self.log = Log()
        self._fresh = fresh
        self._within = asking(name_server, folder) if name_server else ()
        self.ports = {way: free_port() for way in listen}
        self.sip = ("127.0.0.1", free_port())
        self.pbx_port = free_port("127.0.0.3")
        self.department_port = free_port("127.0.0.4")
        self.desk_port = free_port()
        self.media_ports = claim(media_ports)
        self.first_media_port = self.media_ports.first
        self.config = folder / "galwad.toml"
        self.state = folder / "state"
        self.runtime = folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.processes = {}
        self.sip_password = ""
        self.planted = [CALLER[1:]]
        self.config.write_text(
            (SETTINGS + more).format(
                folder=folder,
                listen=", ".join(
                    f'"{way}:{port}"'
                    for way, port in {"udp:127.0.0.1": self.sip[1], **self.ports}.items()
                ),
                more_sip=more_sip,
                media_listen=media_listen,
                pbx_port=self.pbx_port,
                pbx_way=pbx_way,
                department_port=self.department_port,
                desk_port=self.desk_port,
                media_ports=self.media_ports,
                max_calls=max_calls,
                trunk_srtp=trunk_srtp,
                route_srtp=route_srtp,
                options_every=options_every,
                trunk_peers=trunk_peers,
                erase_back=erase_back,
                point_of_transfer=point_of_transfer,
                officer_key=keys.officer_key,
                recipients=keys.recipients,
                **{f"ha1_{extension}": ha1(extension) for extension in PHONES},
            ),
            encoding="utf-8",
        )

    def galwad(self, *arguments, stdin=""):
        """Run a galwad command on this service's settings and return its standard output."""
        settings = {**os.environ, "GALWAD_CONFIG": str(self.config)}
        done = run_galwad(*arguments, input=stdin, env=settings)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def add_users(self):
        """Add an advisor at 201 and a recording administrator; later calls copy the database."""
        database = self.keys.folder / "desk"
        if not database.exists():
            self._make_users()
            shutil.copytree(self.state / "desk", database)
            (database / "sip-password").write_text(self.sip_password)
        else:
            shutil.copytree(database, self.state / "desk", dirs_exist_ok=True)
        self.sip_password = (database / "sip-password").read_text()

    def _make_users(self):
        advisor = ("users", "add", "sian", "--extension", "201", "--password-stdin", "--json")
        made = json.loads(self.galwad(*advisor, stdin=PASSWORD + "\n"))
        self.sip_password = made["sip"]["password"]
        admin = ("users", "add", "ceri", "--role", "admin", "--password-stdin", "--json")
        self.galwad(*admin, stdin=PASSWORD + "\n")

    def start(self, *names):
        """Start these processes and wait until each is ready."""
        for name in names:
            self.processes[name] = Process(
                name, self.config, self.folder, self.log, self._within, fresh=self._fresh
            )
        for name in names:
            self.processes[name].wait_ready()

    def kill(self, name):
        """SIGKILL, as the out-of-memory killer does."""
        self.processes.pop(name).end(signal.SIGKILL)

    def stop(self):
        """End every process, the desk last."""
        for name in ("switch", "finaliser", "desk"):
            if name in self.processes:
                self.processes.pop(name).end()
        self.media_ports.close()
        text = "".join(f"{name} {line}\n" for name, line in self.log.lines)
        (self.folder / "service.log").write_text(text, encoding="utf-8")

    @property
    def url(self):
        """The address of the page."""
        return f"http://127.0.0.1:{self.desk_port}"

    @contextmanager
    def sign_in(self, user="sian", seconds=PATIENCE_S):
        """Return an HTTP client with a session. It waits so long for each answer."""
        origin = {"Origin": self.url}
        with httpx2.Client(base_url=self.url, headers=origin, timeout=seconds) as client:
            reply = client.post("/api/v1/login", json={"user": user, "password": PASSWORD})
            assert reply.status_code == 200, reply.text
            yield client

    def call_id(self, count=1):
        """Return the id of the count-th call that has begun."""
        return self.log.wait("call.started", count)["call_id"]

    def judge(self):
        """Assert for every log that it has no phone number and no exception of the core."""
        signs = (*self.planted, '"sip.core_fault"', '"sip.event_fault"', "Traceback", '"exception"')
        faulty = re.compile("|".join(map(re.escape, signs)))
        found = [f"{name}: {line}" for name, line in self.log.lines if faulty.search(line)]
        assert found == [], "\n".join(found)
        return True

    def wait_media_ports(self, count):
        """Wait until the switch holds this number of ports; they close shortly after a call."""
        limit = time.monotonic() + PATIENCE_S
        while (held := self.media_ports_in_use()) != count:
            assert time.monotonic() < limit, f"{held} media ports, not {count}"
            time.sleep(0.02)

    def media_ports_in_use(self):
        """Return how many ports of the media range have a socket, which only the switch opens."""
        return len(set(_udp_ports()).intersection(self.media_ports))


def asking(name_server, folder):
    """Return a command that runs another one whose /etc/resolv.conf has only this name server."""
    path = folder / "resolv.conf"
    path.write_text(f"nameserver {name_server}\noptions timeout:1\n", encoding="ascii")
    rights = () if os.geteuid() == 0 else ("--map-root-user",)
    mount = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return ("unshare", "--mount", *rights, "sh", "-c", mount, str(path))


def _udp_ports():
    for line in Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]:
        yield int(line.split()[1].rpartition(":")[2], 16)


class OfficerKeys:
    """The keys that the officer makes with `galwad keys`, on their own machine."""

    def __init__(self, folder):
        self.folder = folder
        self.identity = folder / "identity.txt"
        self.recipients = folder / "recipients.json"
        self._run("keys", "init", str(folder))
        self.officer_key = json.loads(self._run("keys", "show", str(folder), "--json"))[
            "officer_key"
        ]
        self._run("keys", "sign", str(folder), "-o", str(self.recipients))

    @staticmethod
    def _run(*arguments):
        return run_galwad(*arguments, check=True).stdout


def ha1(extension):
    """The HA1 of a phone whose password is `secret-EXTENSION`."""
    text = f"{extension}:galwad:secret-{extension}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
