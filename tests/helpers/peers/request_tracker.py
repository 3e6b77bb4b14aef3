"""Request Tracker 5: a real ticket system with users and their telephone numbers."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
from contextlib import closing

import httpx2

from helpers.loopback import free_port
from helpers.peers.kamailio import Daemon
from helpers.peers.programs import program
from helpers.peers.waiting import PATIENCE_S, stop_group

PASSWORD = "password"  # of its user root, in a new database, and of galwad
_DATA = """
@Users = ({{ Name => 'galwad', Password => '{password}', Privileged => 1, Disabled => 0 }});
@ACL = map {{ {{ UserId => 'galwad', Right => $_, Queue => 'General' }} }} qw({rights});
1;
"""
_SETTINGS = """
Set($rtname, 'council.example');
Set($Organization, 'council.example');
Set($WebDomain, '127.0.0.1');
Set($WebPort, {port});
Set($WebBaseURL, 'http://127.0.0.1:{port}');
Set($WebPath, '');
Set($WebSecureCookies, 0);
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '{folder}/rt5.db');
Set($DatabaseUser, '');
Set($DatabasePassword, '');
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'error');
Set($MasonDataDir, '{folder}/mason');
Set($MasonSessionDir, '{folder}/sessions');
Set(%GnuPG, Enable => 0);
Set(%SMIME, Enable => 0);
1;
"""


class RequestTracker(Daemon):
    """One installation with a database of its own, on the loopback."""

    def __init__(self, folder, rights):
        """Make the database and start the server. Its user galwad has these rights on tickets."""
        self.port = free_port()
        self.database = folder / "rt5.db"
        for name in ("mason", "sessions", "settings"):
            (folder / name).mkdir(parents=True)
        settings = folder / "RT_SiteConfig.pm"
        settings.write_text(_SETTINGS.format(port=self.port, folder=folder))
        environment = {
            **os.environ,
            "RT_SITE_CONFIG": str(settings),
            "RT_SITE_CONFIG_DIR": str(folder / "settings"),
        }
        self._setup(environment, "--action", "init", "--skip-create")
        data = folder / "galwad.initialdata"
        data.write_text(_DATA.format(password=PASSWORD, rights=" ".join(rights)))
        self._setup(environment, "--action", "insert", "--datafile", data)
        server = "/usr/share/request-tracker5/libexec/rt-server"
        command = [server, "--host", "127.0.0.1", "--port", str(self.port)]
        super().__init__(folder, command, environment)
        self.http = httpx2.Client(
            base_url=self.url, auth=("root", PASSWORD), timeout=PATIENCE_S, trust_env=False
        )
        self.wait_for(self._answers)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/REST/2.0"

    @staticmethod
    def _setup(environment, *words):
        setup = program("rt-setup-database-5", "request-tracker5 rt5-standalone rt5-db-sqlite")
        done = subprocess.run(
            [setup, *map(str, words)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def run(self, *statements):
        """Run SQL statements in its database."""
        with closing(sqlite3.connect(self.database, timeout=PATIENCE_S)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def _answers(self):
        try:
            return self.http.get("/rt").status_code == 200
        except httpx2.TransportError:
            return False

    def add_user(self, name, **fields):
        reply = self.http.post("/user", json={"Name": name, **fields})
        assert reply.status_code == 201, reply.text

    def page(self, path):
        """Return the HTML of a page for people, after signing in as they do."""
        base = self.url.removesuffix("/REST/2.0")
        with httpx2.Client(base_url=base, timeout=PATIENCE_S, trust_env=False) as browser:
            form = {"user": "root", "pass": PASSWORD}
            browser.post("/NoAuth/Login.html", data=form, headers={"Referer": base})
            reply = browser.get(path)
        assert reply.status_code == 200, reply.text
        return reply.text

    def stop(self):
        """Stop all its processes for a while, as an overloaded machine would."""
        stop_group(self.process.pid)

    def go_on(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def end(self):
        self.http.close()
        super().end()
