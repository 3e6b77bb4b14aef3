"""`galwad simulate payments` and `simulate transfers` against the real service."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
from functools import partial

import pytest

from galwad.simulate.payments import PAYMENTS
from galwad.simulate.transfers import TRANSFERS
from helpers.peers.client import PAYMENT_LINE, PBX_LINE, PBX_TARGET, OfficerClient
from helpers.peers.evidence import Recording
from helpers.peers.proxy import LyingProxy
from helpers.peers.scripted_pbx import ScriptedPbx
from helpers.peers.service import PASSWORD
from helpers.peers.waiting import PATIENCE_S
from helpers.processes import GALWAD, Child
from telephony.phone import VoIPCall

pytestmark = pytest.mark.peer

AT_PBX = ("--pbx-line", PBX_LINE, "--pbx-answer", "201", "--pbx-answer", "500")
PBX_ROWS = tuple(row.name for row in TRANSFERS if row.at_pbx)


class Matrix:
    """Runs the commands as the officer, from the trunk's address; returns the verdicts by row."""

    def __init__(self, service, folder, token=""):
        """`token` is that of the machine that pauses, for the rows of the payment page."""
        self.service, self._folder, self._token = service, folder, token
        self.client = OfficerClient(service, folder)

    def payments(self, *arguments, config=None, status=0):
        """Run `simulate payments` with all that the rows need."""
        return self.client.simulate(
            *("payments", "--answer", "201", "--advisor", "sian", "--outside", "550", *arguments),
            where={"config": config},
            passwords=[self.service.sip_password, PASSWORD],
            status=status,
            GALWAD_PAUSE_TOKEN=self._token,
        )

    def transfers(self, *arguments, config=None, status=0):
        """Run `simulate transfers` with all that its rows need at Galwad."""
        at_pbx = arguments.count("--pbx-answer")
        return self.client.simulate(
            *("transfers", "--answer", "201", "--answer", "301", "--outside", "500", *arguments),
            where={"config": config},
            passwords=[self.service.sip_password, "secret-301", *(["any"] * at_pbx)],
            status=status,
        )

    def bare(self, command, *rows, more=(), config=None, status=0):
        """Run rows with only one phone and no further login."""
        only = [word for row in rows for word in ("--only", row)]
        return self.client.simulate(
            *(command, "--answer", "201", *only, *more),
            where={"config": config},
            passwords=[self.service.sip_password],
            status=status,
        )

    def settings(self, setting, value):
        """Write a copy of the settings with another value of one setting; None removes it."""
        line = "" if value is None else f'{setting} = "{value}"'
        copy = self._folder / "copy.toml"
        source = copy if copy.exists() else self.service.config
        text = source.read_text(encoding="utf-8")
        changed, count = re.subn(f"(?m)^{setting} = .*$", line, text)
        assert count == 1
        copy.write_text(changed, encoding="utf-8")
        return copy


@pytest.fixture(scope="module")
def shared(start_shared):
    """A service with a payment line on this machine, whose pauses erase half a second."""
    return start_shared("switch", "desk", "finaliser", users=True, erase_back="", more=PAYMENT_LINE)


@pytest.fixture
def service(shared):
    """The service of the module, without a call; its logs are checked after each test."""
    shared.wait_media_ports(0)
    yield shared
    shared.judge()


@pytest.fixture(scope="module")
def token(shared):
    """The token of a machine that may pause."""
    machine = ("users", "add", "pay", "--role", "machine", "--right", "payments", "--json")
    return json.loads(shared.galwad(*machine))["token"]


@pytest.fixture
def matrix(service, token, tmp_path):
    """The commands, as the officer."""
    return Matrix(service, tmp_path, token)


@pytest.fixture
def pbx(service, ended):
    """Starts the PBX behind the line of the settings."""
    return lambda **names: ended(ScriptedPbx("127.0.0.3", service.pbx_port, PBX_TARGET, **names))


def outcomes(rows):
    """Return the verdict of each row."""
    return {name: row["verdict"] for name, row in rows.items()}


BUSY = ("cannot pause: 500", "cannot pause: 503", "cannot resume: 503", "there is no recording")
"""The reasons of a row that ran out of time.

A pause has 250 ms to be on the disk (500). The switch has 5 s to answer (503). Sealing has 30 s.
"""


PAYMENTS_IN_EVERY_RUN = (
    "page",
    "API, as a person",
    "payment page",
    "record key",
    "dialled code",
    "transfer to a payment line",
    "card number keyed outside a pause",
    "two holders: page and record key",
)
TRANSFERS_IN_EVERY_RUN = (
    "blind, outside",
    "attended, to a colleague",
    "return from outside",
    PBX_ROWS[0],
)
"""One row for each way to pause, and for each kind of transfer: all rows need 35 s of CPU time."""


def whole_or(names, rows):
    """Run these rows in every run, and all rows in the long tier."""
    every = tuple(row.name for row in rows)
    return pytest.mark.parametrize(
        "names",
        [
            pytest.param(names, id="one of each kind"),
            pytest.param(every, id="all", marks=pytest.mark.long),
        ],
    )


def all_ok(run, names):
    """Check that each row is ok. A row that ran out of time is run once more, by itself."""
    rows = run(
        "--parallel", "5", *(word for name in names for word in ("--only", name)), status={0, 1}
    )
    assert sorted(rows) == sorted(names)
    late = [
        name
        for name, row in rows.items()
        if row["verdict"] == "failed" and any(text in row["reasons"][0] for text in BUSY)
    ]
    for name in late:
        rows |= run("--only", name, status={0, 1})
    assert {name: row for name, row in rows.items() if row["verdict"] != "ok"} == {}


@whole_or(PAYMENTS_IN_EVERY_RUN, PAYMENTS)
def test_simulate_reports_the_rows_of_the_payments_matrix_as_ok(matrix, names):
    """Eight calls, with the recordings opened: 5 s of CPU time."""
    all_ok(partial(matrix.payments, "--card"), names)


@whole_or(TRANSFERS_IN_EVERY_RUN, TRANSFERS)
def test_simulate_reports_the_rows_of_the_transfers_matrix_as_ok(matrix, pbx, names):
    pbx()
    all_ok(partial(matrix.transfers, *AT_PBX), names)


# --- transfers that the PBX does not name ---------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("row", "names_answers"),
    [(PBX_ROWS[0], True), (PBX_ROWS[1], False)],
)
def test_a_transfer_that_the_pbx_does_not_name_fails_with_what_was_recorded(
    matrix, pbx, row, names_answers
):
    pbx(names_answers=names_answers, names_transfers=False)
    rows = matrix.transfers(*AT_PBX, "--only", row, status=1)
    failed(
        matrix,
        rows,
        "the PBX has named no one after the transfer, and the state of the recording is "
        '"recording", not "ceased"',
        "gaps: none; expected: transfer by identity (phone:",
        "after the transfer: what the caller said is in the recording",
    )
    unnamed = "the PBX did not name 201 when this phone answered: the API shows the call at 600"
    assert (unnamed in rows[row]["reasons"]) is not names_answers


# --- what cannot be run -----------------------------------------------------------------------


def test_rows_that_cannot_be_run_say_what_to_configure_or_that_there_is_no_pbx(matrix):
    begun = len(matrix.service.log.events("call.started"))
    matrix.settings("payment_code_on", None)
    without_codes = matrix.settings("payment_code_off", None)
    lacking = {
        "dialled code": "payment_code_on",
        "page": "--advisor",
        "payment page": "$GALWAD_PAUSE_TOKEN",
        "transfer to a payment line": "class payment",
        "card number keyed outside a pause": "--card",
    }
    rows = matrix.bare("payments", *lacking, config=without_codes)
    rows |= matrix.bare("transfers", "blind, outside", "attended, to a colleague")
    assert set(outcomes(rows).values()) == {"not configured"}
    lacking |= {"blind, outside": "class department", "attended, to a colleague": "--answer"}
    assert all(lacking[name] in row["reasons"][0] for name, row in rows.items())
    rows = matrix.bare("transfers", *PBX_ROWS)
    assert set(outcomes(rows).values()) == {"not configured"}
    assert all("--pbx-answer" in row["reasons"][0] for row in rows.values())
    without_pbx = matrix.settings("advisors", None)
    rows = matrix.bare("transfers", *PBX_ROWS, config=without_pbx)
    assert set(outcomes(rows).values()) == {"not applicable"}
    assert len(matrix.service.log.events("call.started")) == begun


# --- what goes wrong --------------------------------------------------------------------------


def failed(matrix, rows, *wanted):
    """Check that exactly one row has failed, with reasons that contain these texts."""
    ((name, row),) = rows.items()
    assert row["verdict"] == "failed"
    reasons = "; ".join(row["reasons"])
    assert all(text in reasons for text in wanted), reasons
    assert matrix.client.error.startswith(f'error: 1 of 1 rows failed: "{name}"\nhint: ')


@pytest.mark.long
def test_a_code_that_the_switch_does_not_know_is_a_failure(matrix):
    other = matrix.settings("payment_code_on", "*81")
    rows = matrix.bare("payments", "dialled code", config=other, status=1)
    failed(matrix, rows, 'the state of the recording is "recording", not "paused"')


@pytest.mark.long
def test_a_matrix_with_another_point_of_transfer_than_the_switch_is_a_failure(matrix):
    other = matrix.settings("point_of_transfer", "request")
    rows = matrix.transfers("--only", "blind, outside", config=other, status=1)
    failed(matrix, rows, "while the other party rings: what the caller said is in the recording")


@pytest.mark.long
@pytest.mark.parametrize("only", [("--only", "blind, outside"), ()])
def test_the_transfers_matrix_follows_the_point_of_transfer_in_the_settings(start, tmp_path, only):
    service = start(
        *("switch", "desk", "finaliser"), users=True, erase_back="", point_of_transfer="request"
    )
    matrix = Matrix(service, tmp_path)
    found = outcomes(matrix.transfers(*only, "--parallel", "6"))
    assert {found[name] for name in found.keys() - PBX_ROWS} == {"ok"}
    other = matrix.settings("point_of_transfer", "answer")
    rows = matrix.transfers("--only", "blind, outside", config=other, status=1)
    failed(matrix, rows, "while the other party rings: only", "of what the caller said is recorded")


def test_a_pause_that_never_reaches_the_switch_is_a_failure_although_the_api_shows_it(matrix):
    pausing = {"PUT": True, "DELETE": False}
    paused: list[bool] = []

    def reply(method, path):
        if not path.endswith("/payment"):
            return None
        paused[:] = [pausing[method]]
        return {"state": "paused" if paused[0] else "recording", "durable": True, "calls": []}

    def alter(_method, path, document):
        if path.endswith("/calls") and True in paused:
            document = [pop | {"recording": "paused"} for pop in document]
        return document

    with LyingProxy(matrix.service.url, alter, reply) as proxy:
        row = "API, as a person"
        rows = matrix.bare("payments", row, more=("--server", proxy.url), status=1)
    failed(
        matrix,
        rows,
        "gaps: none; expected: payment by api (user:ceri)",
        "in the pause: what the caller said is in the recording",
        "in the pause: what the advisor said is in the recording",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"actor": "user:sian"}, "expected: payment by api (user:ceri)"),
        pytest.param({"to_us": 1}, "segments and gaps do not meet", marks=pytest.mark.long),
    ],
)
def test_a_manifest_whose_gap_was_changed_is_a_failure(matrix, change, reason):
    def alter(_method, path, document):
        if "/recordings/" in path and "manifest" in document:  # which is sealed
            manifest = json.loads(document["manifest"])
            for gap in manifest["manifest"]["gaps"]:
                if gap["reason"] == "payment":
                    gap.update(change)
            document["manifest"] = json.dumps(manifest)
        return document

    with LyingProxy(matrix.service.url, alter) as proxy:
        row = "API, as a person"
        rows = matrix.bare("payments", row, more=("--server", proxy.url), status=1)
    failed(matrix, rows, reason)


# --- what it leaves alone, and what it leaves behind ------------------------------------------


@pytest.mark.long
async def test_a_call_of_a_real_phone_at_the_same_extension_is_not_touched(
    service, matrix, phone, caller
):
    calls, run = asyncio.Queue[VoIPCall](), asyncio.to_thread
    begun = len(service.log.events("call.started"))
    async with phone(calls):
        calling = await run(caller)
        live = await calls.get()
        await live.answer()
        call_id = await run(service.call_id, begun + 1)
        await run(partial(service.log.wait, "call.answered", call_id=call_id))
        row = "payment system, by extension"
        rows = await run(lambda: matrix.payments("--only", row, status=1))
        failed(matrix, rows, "201 has another call, which this row would pause too")
        rows = await run(lambda: matrix.payments("--only", "record key"))
        assert outcomes(rows) == {"record key": "ok"}
        with service.sign_in() as page:
            pop = page.get(f"/api/v1/calls/{call_id}").json()
        assert (pop["recording"], pop["holders"]) == ("recording", [])
        await run(calling.hang_up)
    assert (await run(Recording, service, call_id)).gaps() == []


def test_an_interrupt_ends_the_calls_and_the_command(service, matrix):
    words = matrix.client.simulation("payments", "--answer", "201", "--parallel", "3")
    answered = len(service.log.events("call.answered"))
    with (service.folder / "error").open("w+") as error:
        started = Child(
            [*GALWAD, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=error,
            text=True,
            env=matrix.client.environment,
        )
        started.stdin.write(service.sip_password + "\n")
        started.stdin.close()
        service.log.wait("call.answered", answered + 2)
        started.send_signal(signal.SIGINT)
        assert started.wait(PATIENCE_S) == 130
        error.seek(0)
        assert error.readline() == "error: interrupted\n"
    begun = len(service.log.events("call.started"))
    service.log.wait("call.ended", begun)
    service.wait_media_ports(0)


def test_the_advisor_need_not_write_a_note_about_a_simulated_call(service, matrix):
    with service.sign_in() as page:
        others = {pop["call_id"] for pop in page.get("/api/v1/calls").json()}
        assert outcomes(matrix.bare("payments", "record key")) == {"record key": "ok"}
        assert {pop["call_id"] for pop in page.get("/api/v1/calls").json()} == others
