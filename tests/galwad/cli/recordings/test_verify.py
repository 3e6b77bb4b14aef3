"""`galwad recordings verify`: each fault is named, whichever byte was changed.

Covers `galwad/cli/recordings/verification.py` and `galwad/cli/support/public_keys.py`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording.audit.chain import ChainEntry
from recording.keys.keyring import public_text

CALL = "20261125-093000-abcdefgh"


@pytest.fixture
def folder(archive, tmp_path):
    """An archive's folder with one recording."""
    path = tmp_path / "archive" / "2026" / "11" / "25"
    path.mkdir(parents=True)
    (path / f"{CALL}.header").write_bytes(archive.header)
    (path / f"{CALL}.payload").write_bytes(archive.payload)
    (path / f"{CALL}.manifest").write_bytes(archive.manifest)
    return path


def damage(file, where):
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    file.write_bytes(data)


def test_an_undamaged_recording_verifies_as_whole(run, folder, officer, tmp_path):
    done = run("recordings", "verify", tmp_path / "archive")
    assert (done.status, done.out) == (0, f"{CALL}  whole\n")
    opened = run("recordings", "verify", folder, "--identity", officer)
    assert opened.out == f"{CALL}  whole (opened to its end)\n"


@pytest.mark.parametrize("where", [0, 20, 70_000, -1])
def test_a_changed_byte_of_the_payload_is_found_without_a_key(run, folder, where):
    damage(folder / f"{CALL}.payload", where)
    done = run("recordings", "verify", folder)
    assert done.status == 1
    assert "NOT WHOLE: the payload was changed or swapped" in done.out
    assert done.err.startswith("error: 1 of 1 not whole\nhint: ")


@pytest.mark.parametrize("where", [0, 20, 70_000, -1])
def test_a_changed_payload_with_a_forged_manifest_is_found_with_an_identity(
    run, archive, folder, officer, where
):
    damage(folder / f"{CALL}.payload", where)
    digest = hashlib.sha256((folder / f"{CALL}.payload").read_bytes()).hexdigest()
    (folder / f"{CALL}.manifest").write_bytes(archive.signed(digest))
    assert run("recordings", "verify", folder).status == 0
    done = run("recordings", "verify", folder, "--identity", officer)
    assert done.status == 1
    assert "NOT WHOLE" in done.out


@pytest.mark.parametrize("where", [3, 25, 60, 150, -10, -1])
def test_a_changed_byte_of_the_header_is_found_without_a_key(run, folder, where):
    damage(folder / f"{CALL}.header", where)
    done = run("recordings", "verify", folder)
    assert done.status == 1
    assert "NOT WHOLE: the header " in done.out


def test_a_truncated_payload_is_found(run, folder, officer):
    payload = folder / f"{CALL}.payload"
    payload.write_bytes(payload.read_bytes()[:-65_552])
    assert run("recordings", "verify", folder).status == 1


@pytest.mark.parametrize("part", ["header", "payload", "manifest"])
def test_a_missing_file_of_a_recording_is_named(run, folder, part):
    (folder / f"{CALL}.{part}").unlink()
    done = run("recordings", "verify", folder, "--json")
    assert done.json()[0]["problems"] == [f"the {part} is missing"]


@pytest.mark.parametrize("part", ["header", "payload", "manifest", "disposal", "rewrap", "raw"])
def test_a_pipe_or_huge_file_in_place_of_a_recordings_file_is_reported(run, folder, part, tmp_path):
    path = folder / f"{CALL}.{part}"
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    assert run("recordings", "verify", folder, "--json").json()[0]["problems"] == [
        f"the {part} is not a regular file"
    ]
    if part in {"manifest", "disposal"}:
        export = tmp_path / "chain.jsonl"
        export.write_text(f"{ChainEntry.of_body('{}', '0' * 64)}\n")
        told = run("audit", "verify", export, "--recordings", folder).out
        assert f"{CALL}: its manifest, header or certificate of disposal is not a file" in told
    if part not in {"payload", "raw"}:
        path.unlink()
        with path.open("wb") as file:
            file.truncate(1 << 40)
        (verdict,) = run("recordings", "verify", folder, "--json").json()
        assert verdict["problems"] == [f"the {part} is too large"]


def test_verifying_an_empty_or_missing_folder_fails(run, tmp_path):
    (tmp_path / "empty").mkdir()
    assert run("recordings", "verify", tmp_path / "empty").status == 1
    assert run("recordings", "verify", tmp_path / "none").status == 1


def test_a_manifest_signed_by_another_nodes_key_is_refused(run, archive, folder, tmp_path):
    key = tmp_path / "node.pub"
    key.write_text(public_text(archive.node.public_key()) + "\n")
    done = run("recordings", "verify", folder, "--node-key", key)
    assert done.out == f"{CALL}  whole (signed by galwad-1)\n"
    other = public_text(Ed25519PrivateKey.generate().public_key())
    refused = run("recordings", "verify", folder, "--node-key", other)
    assert refused.status == 1
    assert "signed by another node's key" in refused.out
    assert run("recordings", "verify", folder, "--node-key", "nonsense").status == 2


@pytest.mark.parametrize("where", [60, 200, -40])
def test_a_changed_byte_of_the_manifest_is_found(run, folder, where):
    damage(folder / f"{CALL}.manifest", where)
    assert run("recordings", "verify", folder).status == 1


def test_a_recording_with_unexplained_time_is_not_whole(run, archive, folder):
    unexplained = [{"from_us": 0, "to_us": 1_000_000}]
    segments = [{"from_us": 1_000_000, "to_us": 300_000_000, "destination": "centre"}]
    manifest = archive.signed(archive.digest, segments=segments, unexplained=unexplained)
    (folder / f"{CALL}.manifest").write_bytes(manifest)
    assert "1.0 s of talk time are unexplained" in run("recordings", "verify", folder).out


@pytest.mark.parametrize("call_id", ["garbage", "", "20269999-999999-abcdefgh"])
def test_a_manifest_with_a_wrong_call_id_does_not_stop_verification_of_the_others(
    run, archive, folder, call_id
):
    """The manifest is signed, and its content must not stop the verification of the others."""
    other = "20261125-100000-bcdefghi"
    for name in ("header", "payload"):
        (folder / f"{other}.{name}").write_bytes(getattr(archive, name))
    (folder / f"{other}.manifest").write_bytes(archive.signed(archive.digest, call_id=call_id))
    done = run("recordings", "verify", folder)
    assert done.status == 1
    whole, strange = done.out.splitlines()
    assert whole == f"{CALL}  whole"
    assert strange.startswith(f"{other}  NOT WHOLE: the manifest is that of {call_id}")


def test_control_characters_in_a_manifest_are_not_printed(run, archive, folder):
    manifest = archive.signed(archive.digest, call_id="x\x1b[1A\nwhole")
    (folder / f"{CALL}.manifest").write_bytes(manifest)
    (line,) = run("recordings", "verify", folder).out.splitlines()
    assert line.isprintable()


@pytest.mark.parametrize("number", [10**30, -(10**30), 10**400])
def test_huge_numbers_in_a_manifest_are_reported(run, archive, folder, number):
    unexplained = [{"from_us": 0, "to_us": number}]
    changes = {"started_us": number, "unexplained": unexplained}
    (folder / f"{CALL}.manifest").write_bytes(archive.signed(archive.digest, **changes))
    done = run("recordings", "verify", folder)
    assert "its date was changed" in done.out


def test_an_unreadable_folder_is_an_error_and_not_taken_as_empty(folder, tmp_path):
    """Root drops its capabilities first, because they override file modes."""
    closed = tmp_path / "archive" / "2026" / "11" / "24"
    closed.mkdir(mode=0o000)
    rights = "-dac_override,-dac_read_search"
    drop = ["setpriv", "--bounding-set", rights] if os.geteuid() == 0 else []
    for command in (["recordings", "verify"], ["audit", "verify", "c", "--recordings"]):
        (tmp_path / "c").touch()
        done = subprocess.run(
            [*drop, sys.executable, "-m", "galwad", *command, str(tmp_path / "archive")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        assert f"error: cannot read {closed}: permission denied\n" in done.stderr
    assert folder.exists()


@pytest.mark.usefixtures("server")
def test_a_manifest_that_differs_from_the_servers_index_is_reported(run, archive):
    archive.gaps = []
    assert run("recordings", "verify", CALL).status == 0
    archive.shown = archive.signed(archive.digest, interrupted=True).decode()
    done = run("recordings", "verify", CALL)
    assert done.status == 1
    assert "the manifest is not the one that was indexed" in done.out
    archive.shown = None
    assert "the manifest is missing" in run("recordings", "verify", CALL).out


def test_a_manifest_with_a_forged_start_date_is_reported(run, archive, folder):
    later = archive.signed(
        archive.digest,
        started="2026-11-27T09:30:00.000000Z",
        started_us=1_795_599_000_000_000 + 2 * 86_400_000_000,
    )
    (folder / f"{CALL}.manifest").write_bytes(later)
    done = run("recordings", "verify", folder)
    assert done.status == 1
    assert "its date was changed: its manifest says that it began at 2026-11-27" in done.out


def test_verify_with_since_skips_earlier_recordings(run, folder, tmp_path):
    archive = tmp_path / "archive"
    assert run("recordings", "verify", archive, "--since", "2026-11-25").status == 0
    done = run("recordings", "verify", archive, "--since", "2026-11-26")
    assert (done.status, done.out) == (1, "")
    assert run("recordings", "verify", archive, "--since", "then").status == 2


@pytest.mark.usefixtures("server")
def test_verify_without_a_target_checks_all_recordings_of_the_server(run, archive):
    archive.gaps = []
    done = run("recordings", "verify", "--since", "2026-11-24")
    assert (done.status, done.out) == (0, f"{CALL}  whole\n")
    assert archive.asked[0][1] == "/recordings/search"
    archive.shown = None
    assert "the manifest is missing" in run("recordings", "verify").out
