"""The desk keeps to docs/openapi.json for requests that Schemathesis makes up, valid and not.

Schemathesis is a program that reads such a description and looks for answers that contradict it.

The description is made by `galwad/api/document.py`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

from galwad.people.user import PURGE, RIGHTS
from helpers.desk import PASSWORD

pytestmark = [pytest.mark.peer, pytest.mark.slow]

DESCRIPTION = Path(__file__).parents[3] / "docs" / "openapi.json"
PROGRAM = Path(sys.executable).with_name("schemathesis")
CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
LEFT_OUT = {
    "stream_events": "its answer does not end",
    "accounts_logout": "it ends the session of the test",
    "accounts_change_password": "its attempts are limited, and each takes long on purpose",
    "accounts_login": "the same",
}
"""The endpoints that are left out, each with the reason."""
EXAMPLES = 4
"""The most requests that each phase makes for one endpoint."""
PHASES = "examples,coverage,fuzzing"


# With all phases, Schemathesis makes some 3,000 requests, in 24 seconds of CPU time.
@pytest.mark.parametrize(
    ("user", "phases"),
    [
        ("gwen", "examples,fuzzing"),
        pytest.param("gwen", PHASES, marks=pytest.mark.long),
        pytest.param("machine", PHASES, marks=pytest.mark.long),
    ],
)
async def test_no_answer_contradicts_the_description(running, tmp_path, user, phases):
    token = await sign_in(running, user)
    arguments = [
        *("run", str(DESCRIPTION), "--url", running.url, "--no-color", "--seed", "1"),
        *("--header", f"Authorization: Bearer {token}"),
        *("--phases", phases, "--max-examples", str(EXAMPLES)),
        *("--checks", ",".join(CHECKS), "--no-shrink", "--suppress-health-check", "all"),
        *(word for name in LEFT_OUT for word in ("--exclude-operation-id", name)),
    ]
    process = await asyncio.create_subprocess_exec(
        PROGRAM, *arguments, cwd=tmp_path, stdout=PIPE, stderr=STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-20_000:]
    passed = re.search(rb"(\d+) generated, (\d+) passed", output)
    assert passed is not None, output.decode()[-2_000:]
    assert int(passed[2]) > 300, output.decode()[-2_000:]


async def sign_in(running, user):
    """Return a bearer token of a user."""
    if user == "machine":
        client = await running.machine("pay", *set(RIGHTS) - {PURGE})
        return client.headers["authorization"].removeprefix("Bearer ")
    login = {"user": user, "password": PASSWORD, "client": "cli"}
    return (await running.client().post("/api/v1/login", json=login)).json()["token"]
