"""Every command of docs/verify-by-hand.md on a real recording; each damage is found by one."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from galwad.simulate.sound import speech
from helpers.database import engine
from helpers.peers.evidence import Recording
from helpers.peers.service import PASSWORD
from helpers.processes import GALWAD, run_galwad
from recording.audit.chain import GENESIS, ChainEntry, chained, verify_entries
from recording.audit.log import AuditLog

__all__ = ["engine"]
pytestmark = pytest.mark.peer

DOCUMENT = Path(__file__).parents[2].joinpath("docs/verify-by-hand.md").read_text(encoding="utf-8")
SAMPLE = "20261125-014106-n23icn7w"
WHY = ("--purpose", "complaint", "--reference", "C-1")


def steps(document):
    """Return each block of commands with its documented output."""
    for part in document.split("\n```\n")[1::2]:
        rest = document.partition(f"```\n{part}\n```")[2].partition("\n```\n")[0]
        yield part, re.findall(r"It says: `([^`]+)`", rest.partition("\n## ")[0])


STEPS = list(steps(DOCUMENT))


class Desktop:
    """A verifier's folder: copies of the files that they received."""

    def __init__(self, service, call_id, folder):
        self.service, self.call_id, self.folder = service, call_id, folder
        folder.mkdir()
        archive = service.state / "archive"
        (self.origin,) = {path.parent for path in archive.rglob(f"{call_id}.*")}
        shutil.copy(archive / "peers-1.pub", folder / "galwad.pub")
        shutil.copy(service.keys.identity, folder / "identity.txt")
        with service.sign_in("ceri") as client:
            body = {"user": "ceri", "password": PASSWORD, "client": "cli"}
            token = client.post("/api/v1/login", json=body).json()["token"]
        self.env = {**os.environ, "GALWAD_SERVER": service.url, "GALWAD_TOKEN": token}
        for command in ("anchor", "export"):
            output = folder / {"anchor": "anchors.jsonl", "export": "chain.jsonl"}[command]
            self.run("audit", command, "-o", str(output))
        self.export_row()

    def export_row(self):
        (self.folder / "row.json").write_text(
            self.run("recordings", "show", self.call_id, "--json")
        )

    def run(self, *arguments, status=0):
        """Run a galwad command and return its standard output."""
        done = run_galwad(*arguments, env=self.env, cwd=self.folder)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def by_hand(self, *, fetch=True, ours=True):
        """Run the blocks in one shell and return the output of each, with its errors.

        Those with a command of Galwad run only with `ours`: each start of it in a shell takes more
        than a second of CPU time.
        """
        galwad = " ".join(GALWAD)
        script = [f'galwad() {{ {galwad} "$@"; }}']
        for number, (block, _) in enumerate(STEPS):
            text = block.replace(SAMPLE, self.call_id).replace(
                "/srv/copy/2026/11/25", str(self.origin)
            )
            if number == 0 and not fetch:
                text = "\n".join(line for line in text.splitlines() if not line.startswith("cp "))
            if not ours and re.search(r"(?m)^galwad ", text):
                text = ""
            script.append(f"echo '=== {number}'\n{text}")
        done = subprocess.run(
            ["bash", "-c", "exec 2>&1\n" + "\n".join(script)],
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        parts = re.split(r"^=== \d+\n", done.stdout, flags=re.MULTILINE)[1:]
        assert len(parts) == len(STEPS)
        return parts


@pytest.fixture
def desktop(service, place_call, tmp_path):
    """One real call with a pause, sealed, and the files for its verifier."""
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
    return Desktop(service, call.call_id, tmp_path / "desktop")


def silent(parts):
    """Return the documented outputs that are missing, as (block, words)."""
    return [
        (number, words)
        for number, (_, said) in enumerate(STEPS)
        for words in said
        if words not in parts[number]
    ]


def change(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_the_documented_commands_pass_an_intact_recording_and_find_each_damage(desktop):
    """Eight runs of all commands in a shell: 5 s of CPU time."""
    parts = desktop.by_hand()
    assert silent(parts) == [], "\n".join(parts)
    assert sum(len(said) for _, said in STEPS) >= 16
    for name in ("number", "line", "advisor", "extension"):
        assert f"indexed {name} as committed" in "".join(parts)
        assert f"sealed {name} as committed" in "".join(parts)
    assert f"title={desktop.call_id}" in "".join(parts).lower()
    assert " payment by page, user:sian" in "".join(parts)
    assert parts[-1].count("whole (signed by peers-1") == 1
    text = "".join(parts)
    assert not re.search("DIFFERS|FAILED|is gone|was changed|one is missing|error", text), text

    files = {name: desktop.folder / f"{desktop.call_id}.{name}" for name in ("payload", "header")}
    chain = desktop.folder / "chain.jsonl"
    kept = {path: path.read_bytes() for path in (*files.values(), chain)}

    def found(words):
        assert words in "".join(desktop.by_hand(fetch=False, ours=False))
        for path, data in kept.items():
            path.write_bytes(data)

    change(files["payload"], 300)
    found(f"{desktop.call_id}.payload: FAILED")
    change(files["header"], 60)
    found(f"{desktop.call_id}.header: FAILED")
    lines = chain.read_text().splitlines(keepends=True)
    chain.write_text("".join([*lines[:2], *lines[3:]]))
    found("was changed")
    anonymous = [json.loads(line) | {"values": {}} for line in lines]
    chain.write_text("".join(f"{json.dumps(line)}\n" for line in anonymous))
    found("actor was deleted, and no entry says why")
    chain.write_text(lines[0])
    found("is gone")
    digest = hashlib.sha256(files["header"].read_bytes()).hexdigest()
    rewrap = {"call_id": desktop.call_id, "old_sha256": digest, "new_sha256": "0" * 64}
    body = {"seq": len(lines) + 1, "at_us": 0, "kind": "header.replaced", "facts": rewrap}
    chain.write_text(f"{json.dumps({'body': json.dumps(body), 'hash': '0'})}\n")
    found(f"{desktop.call_id}.header was changed back")
    manifest = desktop.folder / f"{desktop.call_id}.manifest"
    manifest.write_bytes(manifest.read_bytes().replace(b'"talk_us":', b'"talk_us":1'))
    found("Signature Verification Failure")


ROW_CHANGES = {
    "number = '+441970000000'": "number",
    "line = 'other'": "line",
    "advisor = 'huw'": "advisor",
    "started = started + 60": "start",
    "talk_us = talk_us - 1000": "length",
    "manifest_sha256 = 'a'": "not the one that was indexed",
    "salt = 'a'": "salt",
}


@pytest.mark.long
def test_a_row_rewritten_by_sql_is_named_by_hand_and_by_three_commands(desktop):
    """Seven changes, each with four commands and a run of those by hand: 8 s of CPU time."""
    call_id = desktop.call_id
    (path,) = desktop.service.state.rglob("galwad.db")

    def sql(statement, *values):
        with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
            rows = connection.execute(statement, values).fetchall()
            connection.commit()
        return rows

    def checks(status):
        return [
            "".join(desktop.run(*command, status=status))
            for command in (
                ("recordings", "verify", "--node-key", "galwad.pub", *WHY),
                ("audit", "verify"),
                ("calls", "coverage", "--date", "today"),
            )
        ]

    checks(0)
    names = [row[1] for row in sql("PRAGMA table_info(recordings)")]
    (kept,) = sql("SELECT * FROM recordings WHERE call_id = ?", call_id)
    restore = (
        f"UPDATE recordings SET {', '.join(f'{name} = ?' for name in names)} WHERE call_id = ?"
    )
    for change, word in ROW_CHANGES.items():
        sql(f"UPDATE recordings SET {change} WHERE call_id = ?", call_id)
        for text in checks(1):
            assert call_id in text
            assert word in text
        desktop.export_row()
        by_hand = "".join(desktop.by_hand(ours=False))
        assert "DIFFERS" in by_hand or "as sealed" not in by_hand or "this manifest" not in by_hand
        sql(restore, *kept, call_id)
    ((answered,),) = sql("SELECT answered FROM answered_calls WHERE call_id = ?", call_id)
    sql("UPDATE answered_calls SET answered = answered + 1 WHERE call_id = ?", call_id)
    for text in checks(1):
        assert "ledger and audit do not agree on its answer" in text
    sql("UPDATE answered_calls SET answered = ? WHERE call_id = ?", answered, call_id)
    checks(0)


def test_galwad_audit_verify_finds_a_missing_manifest_a_missing_recording_and_a_cut_chain(desktop):
    folder, call_id = desktop.folder, desktop.call_id
    shutil.copytree(desktop.origin, folder / "copy")
    whole = ("audit", "verify", "chain.jsonl", "--anchors", "anchors.jsonl", "--recordings", "copy")
    assert "entries, the last " in desktop.run(*whole)
    (folder / "copy" / f"{call_id}.manifest").unlink()
    assert f"{call_id}: its manifest is missing" in desktop.run(*whole, status=1)
    shutil.rmtree(folder / "copy")
    (folder / "copy").mkdir()
    assert f"{call_id}: it was indexed, but is missing" in desktop.run(*whole, status=1)
    lines = (folder / "chain.jsonl").read_text().splitlines(keepends=True)
    seq = json.loads((folder / "anchors.jsonl").read_text())["seq"]
    (folder / "chain.jsonl").write_text("".join(lines[: seq - 1]))
    cut = desktop.run("audit", "verify", "chain.jsonl", "--anchors", "anchors.jsonl", status=1)
    assert f"entry {seq}: an anchor kept elsewhere names it, but the chain ends" in cut
    fetched = ("recordings", "verify", "--since", "yesterday", "--node-key", "galwad.pub", *WHY)
    assert f"{call_id}  whole" in desktop.run(*fetched)


async def block_with(word, folder):
    """Run the only block that contains these words, and return its output."""
    return await asyncio.to_thread(_run_block, word, folder)


def _run_block(word, folder):
    (block,) = (block for block, _ in STEPS if word in block)
    done = subprocess.run(
        ["bash", "-c", f"exec 2>&1\n{block}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


async def test_a_rewritten_audit_chain_fails_its_daily_signatures(engine, tmp_path):
    """An attacker on the second day recomputes every hash of the first."""
    now = 1_800_000_000.0
    audit = AuditLog(engine, "node-1", tmp_path / "audit.key", lambda: now)
    for _ in range(3):
        await audit.append(
            "recording.fetched", {"call_id": "call-1", "caf\u00e9": 1}, {"actor": "x"}
        )
        now += 86_400
    links = await audit.chain_entries()
    export = tmp_path / "chain.jsonl"
    export.write_text("".join(f"{link}\n" for link in links))
    assert "6 entries hang together" in await block_with("hang together", tmp_path)
    said = await block_with("signed the next", tmp_path)
    assert said.count("Signature Verified Successfully") == 2
    assert verify_entries(links).is_clean
    forged, before = [], GENESIS
    for link in links:
        body = link.body.replace("call-1", "call-9") if link.seq == 2 else link.body
        before = chained(before, body)
        forged.append(ChainEntry.of_body(body, before, link.values))
    export.write_text("".join(f"{link}\n" for link in forged))
    assert "6 entries hang together" in await block_with("hang together", tmp_path)
    said = await block_with("signed the next", tmp_path)
    assert said.count("Signature Verification Failure") == 2
    assert [f.seq for f in verify_entries(forged).findings] == [3, 5]
    keyless, before = [], GENESIS
    for link in links[:2] + links[3:4]:
        body = link.body.replace('"seq":4', '"seq":3')
        before = chained(before, body)
        keyless.append(ChainEntry.of_body(body, before, link.values))
    export.write_text("".join(f"{link}\n" for link in keyless))
    assert "3 entries hang together" in await block_with("hang together", tmp_path)
    said = await block_with("signed the next", tmp_path)
    assert said.startswith(f"a day-key is missing before {before}\n")
    assert [f.seq for f in verify_entries(keyless).findings] == [3]
