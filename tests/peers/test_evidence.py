"""An evidence pack of a real call with a pause: its proof, and its letter in a browser.

Covers `galwad/archive/commands/evidence_pack.py` and `galwad/archive/commands/evidence_letter.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
from importlib.resources import files

import bagit
import pytest

from galwad.simulate.sound import speech
from helpers.peers.evidence import Recording
from helpers.peers.service import PASSWORD
from helpers.processes import run_galwad
from recording.age.file import Identity

pytestmark = pytest.mark.peer

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RUN = """async (rules) => {
    const { violations, passes } = await axe.run({ runOnly: rules });
    const found = violations.flatMap(({ id, nodes }) => nodes.map((n) => `${id}: ${n.html}`));
    return [found, passes.length];
}"""


@pytest.fixture
def pack(service, place_call, tmp_path):
    """A Welsh pack of a call with a pause on the page, opened with age and tar."""
    call = place_call()
    path = f"/api/v1/calls/{call.call_id}/payment"
    with service.sign_in() as page:
        call.caller.say(speech(1, 71), call.from_caller)
        page.put(path, json={})
        call.caller.say(speech(1, 72), call.from_caller)
        page.request("DELETE", path)
        call.caller.say(speech(1, 73), call.from_caller)
    call.hang_up()
    Recording(service, call.call_id)
    with service.sign_in("ceri") as client:
        body = {"user": "ceri", "password": PASSWORD, "client": "cli"}
        token = client.post("/api/v1/login", json=body).json()["token"]
    environment = {**os.environ, "GALWAD_SERVER": service.url, "GALWAD_TOKEN": token}
    recipient = Identity.generate()
    (tmp_path / "key.txt").write_text(f"{recipient}\n")
    node_key = str(service.state / "archive" / "peers-1.pub")

    done = run_galwad(
        *("evidence", call.call_id, "--to", f"Mair={recipient.recipient}", "-o", "pack.age"),
        *("--purpose", "complaint", "--reference", "C-1", "--node-key", node_key),
        *("--identity", str(service.keys.identity), "--silence", "advisor", "--why", "Sian"),
        *("--language", "cy"),
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    command = "age -d -i key.txt pack.age | tar -x"
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, cwd=tmp_path)
    return tmp_path / call.call_id


def test_a_pack_of_a_real_call_proves_its_pause_and_its_letter_has_no_fault(pack, chromium):
    """A call, a command and a browser: 4 s of CPU time."""
    bagit.Bag(str(pack)).validate()
    lines = (pack / "data/audit.jsonl").read_text().splitlines()
    kinds = [json.loads(json.loads(line)["body"])["kind"] for line in lines]
    assert kinds == ["payment.pause", "payment.resume", "recording.indexed"]
    page = chromium.new_page()
    page.goto((pack / "data/letter.html").as_uri())
    assert "Cofnod archwiliad " in page.inner_text("main")
    page.evaluate(AXE)
    found, passed = page.evaluate(RUN, RULES)
    assert found == []
    assert passed > 10, "axe has not looked"
    page.close()
