"""PostgreSQL: a real database server of Debian, for tables of people and notes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from helpers.loopback import free_port
from helpers.peers.kamailio import Daemon

_PASSWORD = "owner's"
_USER = "postgres"
"""Debian's user for the server, which refuses to run as root."""
_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 30
shared_buffers = 16MB
"""


class PostgreSql(Daemon):
    """One server with a database `crm` of its own, on the loopback.

    With `tls`, it has the certificate "server" of this authority for localhost, and accepts only
    TLS connections of clients with a certificate of this authority.
    """

    def __init__(self, *, tls=None):
        self._home = Path(tempfile.mkdtemp(prefix="galwad-postgresql-"))
        self._data = self._home / "data"
        self.port = free_port()
        self._environment = dict(os.environ)
        if os.geteuid() == 0:
            shutil.chown(self._home, _USER, _USER)
        self._make_database(tls)
        self.begin()
        self.sql("CREATE DATABASE crm", database="postgres")

    def begin(self):
        """Start it, also after `kill`, and wait until it accepts connections."""
        command = [*self._as_user(), _program("postgres"), "-D", str(self._data)]
        super().__init__(self._home, command)
        ready = [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        self.wait_for(lambda: subprocess.run(ready, check=False).returncode == 0)

    @staticmethod
    def _as_user():
        if os.geteuid() != 0:
            return []
        return ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]

    def _make_database(self, tls):
        password = self._home / "password"
        password.write_text(_PASSWORD)
        password.chmod(0o644)
        options = ["-A", "scram-sha-256", "-U", "owner", f"--pwfile={password}", "-E", "UTF8"]
        made = subprocess.run(
            [*self._as_user(), _program("initdb"), *options, "-D", str(self._data), "--no-sync"],
            cwd=self._home,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        settings = _SETTINGS.format(port=self.port)
        access = "host all all 127.0.0.1/32 scram-sha-256"
        if tls is not None:
            settings += "ssl = on\n"
            certificate, key = tls.issue("server", "localhost")
            for name, path in (("cert", certificate), ("key", key), ("ca", tls.path)):
                self._write(path.name, path.read_text())
                settings += f"ssl_{name}_file = '{path.name}'\n"
            access = f"hostssl{access.removeprefix('host')} clientcert=verify-ca"
            certificate, key = tls.issue("psql")
            key.chmod(0o600)
            self._environment |= {"PGSSLCERT": str(certificate), "PGSSLKEY": str(key)}
        self._write("postgresql.conf", settings)
        self._write("pg_hba.conf", f"{access}\n")

    def _write(self, name, text):
        """Write a file of the server, which may not read the folders of the tests."""
        path = self._data / name
        path.write_text(text)
        path.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(path, _USER, _USER)

    def sql(self, script, *, database="crm"):
        """Run statements as the owner, and return the rows as psql prints them."""
        done = subprocess.run(
            self._psql(database),
            env={**self._environment, "PGPASSWORD": _PASSWORD},
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    @contextmanager
    def locked(self, table):
        """Hold the strongest lock on a table: meanwhile, no statement can read it."""
        with subprocess.Popen(
            self._psql("crm"),
            env={**self._environment, "PGPASSWORD": _PASSWORD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdin.write(f"BEGIN; LOCK TABLE {table}; SELECT 'locked';\n")
            holder.stdin.flush()
            assert holder.stdout.readline() == "locked\n"
            yield
            holder.stdin.close()

    def _psql(self, database):
        options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-d", database]
        return [_program("psql"), *options, *where]

    def stop(self):
        """Stop all its processes for a while, as an overloaded machine would."""
        self._signal_all(signal.SIGSTOP)

    def go_on(self):
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number):
        # Each connection is a process in a session of its own.
        server = self.process.pid
        children = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(server)], text=True)
        for pid in (server, *map(int, children.split())):
            with suppress(ProcessLookupError):  # a connection that has ended meanwhile
                os.kill(pid, number)

    def kill(self):
        """End all its processes at once, as a crash would: nothing is written any more."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        self._output.close()

    def end(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self._home)


def _program(name):
    """Return the path of a program of the newest PostgreSQL that is installed."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: int(re.sub(r"\D", "", path.parts[4])),
    )
    assert found, f"{name} is missing: apt-get install postgresql"
    return str(found[-1])
