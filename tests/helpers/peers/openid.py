"""The OpenID provider `oidc-provider`, which scripts/test installs with npm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from helpers.peers.programs import program
from helpers.processes import Child

INSTALLED = Path(sys.prefix) / "openid_provider"
TENANT = "6f1c4f0e-5a54-4b6f-9a0e-0d4d5b1d7c11"
CLIENT = "galwad"
SECRET = "a secret of the tests"


class OpenIdProvider:
    """A provider with these people, each with the claims of their tokens, by login name."""

    def __init__(self, folder, people):
        assert (INSTALLED / "node_modules").exists(), f"{INSTALLED} is missing: run scripts/test"
        self._secret = folder / "sign-in.secret"
        self._secret.write_text(SECRET)
        self._process = Child(
            [program("node", "nodejs"), "provider.mjs"],
            cwd=INSTALLED,
            env={
                **os.environ,
                "PEOPLE": json.dumps(people),
                "TENANT": TENANT,
                "CLIENT_ID": CLIENT,
                "CLIENT_SECRET": SECRET,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        lines = iter(self._process.stdout.readline, "")
        self.issuer = next((line.strip() for line in lines if line.startswith("http://")), "")
        assert self.issuer, "the provider has ended"

    def settings(self, roles, password_users, **more):
        """Return the table `[sign_in]`, in which braces are doubled for `Service`."""
        table = ", ".join(f'"{name}" = "{role}"' for name, role in roles.items())
        return (
            f'\n[sign_in]\nissuer = "{self.issuer}"\nclient_id = "{CLIENT}"\n'
            f'secret_file = "{self._secret}"\nidentity = "oid"\ntenant = "{TENANT}"\n'
            f"roles = {{{{ {table} }}}}\npassword_users = {json.dumps(password_users)}\n"
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in more.items())
        )

    def end(self):
        """End the provider. Repeating this changes nothing."""
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
