"""The `galwad` command as the officer runs it on another machine, signed in to the desk."""

from __future__ import annotations

import os

from helpers.peers.service import CALLER, PASSWORD
from helpers.processes import run_galwad


class OfficerClient:
    """Runs commands as ceri, with a configuration folder of its own.

    No output of a command may contain the caller's number or a traceback.
    """

    def __init__(self, service, folder):
        """Sign in; `folder` becomes the configuration folder."""
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
