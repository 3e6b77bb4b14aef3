"""The `galwad` command as the officer runs it on another machine, signed in to the desk."""

from __future__ import annotations

import json
import os

from helpers.peers.service import CALLER, PASSWORD
from helpers.processes import run_galwad

LINE = "01970000100"
"""The line that rings 201."""
PBX_LINE, PBX_TARGET = "01970000200", "600"
"""The line that leads to the PBX, and what Galwad dials there."""
PAYMENT_LINE = """
[[destinations]]
match = "550"
class = "payment"
target = "sip:550@127.0.0.5:{department_port}"
"""
"""Settings of a payment line on this machine, for `simulate payments`."""


class OfficerClient:
    """Runs commands as ceri, with a configuration folder of its own.

    No output of a command may contain the caller's number or a traceback.
    """

    def __init__(self, service, folder):
        """Sign in; `folder` becomes the configuration folder."""
        self.service = service
        self.environment = {**os.environ, "XDG_CONFIG_HOME": str(folder)}
        self.error = ""
        """The standard error of the last command."""
        login = ("login", "--server", service.url, "--user", "ceri", "--password-stdin")
        self.run(*login, lines=[PASSWORD])

    def run(self, *arguments, lines=(), status=0, **variables):
        """Run a command with these lines as its input, and return its standard output.

        `status` is the exit status that the command must have, or a set of them; `variables` are
        further environment variables.
        """
        done = run_galwad(
            *arguments,
            input="".join(f"{line}\n" for line in lines),
            timeout=300,
            env=self.environment | variables,
        )
        self.error = done.stderr
        allowed = {status} if isinstance(status, int) else status
        assert done.returncode in allowed, done.stdout + done.stderr
        assert CALLER not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def simulation(self, command, *arguments, number=LINE, bind="127.0.0.2", config=None):
        """Return the words of a command of `galwad simulate` that calls from the trunk's address.

        `config` is the officer's copy of the settings, by default the service's own file.
        """
        service = self.service
        words = [
            "simulate",
            command,
            number,
            "--sip",
            f"127.0.0.1:{service.sip[1]}",
            "--bind",
            bind,
        ]
        words += ["--from", CALLER, "--password-stdin"]
        if command != "call":
            words += ["--identity", service.keys.identity, "--config", config or service.config]
        return [str(word) for word in (*words, *arguments)]

    def simulate(self, command, *arguments, passwords=(), status=0, where=None, **variables):
        """Run such a command, and return its steps or rows by name.

        `where` has further arguments of `simulation`, and `variables` are those of `run`.
        """
        words = self.simulation(command, "--json", *arguments, **(where or {}))
        document = json.loads(self.run(*words, lines=passwords, status=status, **variables))
        found = document["steps"] if command == "call" else document["rows"]
        return {each["step" if command == "call" else "row"]: each for each in found}
