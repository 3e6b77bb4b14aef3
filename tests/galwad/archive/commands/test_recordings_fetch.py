"""`galwad recordings fetch`: the file is exactly what was recorded, or no file is written.

Covers `galwad/archive/commands/recordings_audio.py`, `galwad/cli/support/archive_client.py` and
`galwad/cli/support/identities.py`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess

import numpy as np
import pytest
import soundfile

from helpers.file_sizes import run_with_small_files
from helpers.recording.sealing import payload_of
from recording.age.file import open_header
from recording.keys.keyring import OfficerKeys

CALL = "20261125-093000-abcdefgh"
RATE = 8000
WHY = ("--purpose", "complaint", "--reference", "C-1024")


def nothing_left(folder):
    return [p.name for p in folder.iterdir() if p.name.startswith(".") or "part" in p.name] == []


@pytest.mark.parametrize("kind", ["flac", "wav"])
@pytest.mark.usefixtures("server")
def test_a_fetched_file_has_exactly_the_recorded_samples(run, officer, speech, tmp_path, kind):
    out = tmp_path / f"call.{kind}"
    done = run("recordings", "fetch", CALL, *WHY, "--identity", officer, "-o", out, "--json")
    assert done.status == 0, done.err
    samples, rate = soundfile.read(out, dtype="int16")
    assert rate == RATE
    assert np.array_equal(samples, speech)
    assert done.json()["seconds"] == 300
    assert out.stat().st_mode & 0o777 == 0o600
    assert nothing_left(tmp_path)


def test_purpose_and_reference_reach_the_server(run, server, archive, officer, tmp_path):
    run("recordings", "fetch", CALL, *WHY, "--identity", officer, "-o", tmp_path / "a.wav")
    assert archive.asked == [
        (
            "POST",
            f"/recordings/{CALL}/fetch",
            {"purpose": "complaint", "reference": "C-1024"},
        )
    ]


def test_a_fetched_slice_is_cut_to_the_millisecond(run, server, officer, speech, tmp_path):
    out = tmp_path / "slice.wav"
    cut = ("--from", "1:20.250", "--to", "3:05")
    done = run("recordings", "fetch", CALL, *WHY, "--identity", officer, "-o", out, *cut)
    assert done.status == 0, done.err
    samples, _ = soundfile.read(out, dtype="int16")
    assert np.array_equal(samples, speech[80 * RATE + 2000 : 185 * RATE])


@pytest.mark.peer
def test_a_sealed_copy_opens_with_stock_age(run, server, officer, speech, tmp_path):
    out = tmp_path / "call.age"
    done = run("recordings", "fetch", CALL, *WHY, "--sealed", "-o", out)
    assert done.status == 0, done.err
    opened = tmp_path / "opened.flac"
    subprocess.run(["age", "-d", "-i", officer, "-o", opened, out], check=True, timeout=60)
    assert np.array_equal(soundfile.read(opened, dtype="int16")[0], speech)


def test_a_wrong_identity_is_reported_and_no_file_is_written(run, server, tmp_path):
    run("keys", "init", tmp_path / "stranger")
    out = tmp_path / "call.wav"
    identity = tmp_path / "stranger" / "identity.txt"
    done = run("recordings", "fetch", CALL, *WHY, "--identity", identity, "-o", out)
    assert done.status == 1
    assert done.err.startswith("error: this identity does not open this recording\nhint: ")
    assert not out.exists()
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("where", [20, 100_000, -1])
@pytest.mark.usefixtures("server")
def test_a_payload_that_differs_from_the_index_is_reported_and_no_file_is_written(
    run, archive, officer, tmp_path, where
):
    damaged = bytearray(archive.payload)
    damaged[where] ^= 1
    archive.payload = bytes(damaged)
    out = tmp_path / "call.wav"
    done = run("recordings", "fetch", CALL, *WHY, "--identity", officer, "-o", out)
    assert (done.status, len(done.err.splitlines())) == (1, 2)
    assert "differs from the digests in the server's index" in done.err
    assert not out.exists()


@pytest.mark.parametrize("where", [20, 100_000, -1])
@pytest.mark.usefixtures("server")
def test_damage_that_the_index_digest_hides_is_found_by_decryption(
    run, archive, officer, tmp_path, where
):
    damaged = bytearray(archive.payload)
    damaged[where] ^= 1
    archive.payload = bytes(damaged)
    archive.digest = hashlib.sha256(damaged).hexdigest()
    out = tmp_path / "call.wav"
    cut = ("--from", "0:10", "--to", "0:12")
    done = run("recordings", "fetch", CALL, *WHY, "--identity", officer, "-o", out, *cut)
    assert (done.status, len(done.err.splitlines())) == (1, 2)
    assert "error: the recording is damaged" in done.err
    assert not out.exists()
    assert nothing_left(tmp_path)


@pytest.mark.parametrize(
    "case",
    [
        ((), 2, "an identity is required to open the recording"),
        (("--sealed", "--from", "1:00"), 2, "--sealed cannot be combined"),
        (("--identity", "{identity}", "-o", "call.mp3"), 2, "neither in .flac nor in .wav"),
        (("--identity", "{identity}", "--from", "3:00", "--to", "1:00"), 2, "--to is not after"),
        (("--identity", "{identity}", "--from", "soon"), 2, 'cannot read --from "soon"'),
        (("--identity", "nowhere.txt"), 1, "no such file"),
        (("--identity", "{identity}", "-o", "nowhere/call.wav"), 1, "nowhere is not a folder"),
        (("--sealed", "-o", "/proc/self/call.age"), 1, "cannot create files in /proc/self"),
        (
            ("--identity", "{identity}", "--from", "59:00", "-o", "{tmp}/a.wav"),
            2,
            "after the record",
        ),
    ],
)
def test_impossible_options_of_fetch_are_refused(run, server, officer, tmp_path, case):
    arguments, status, error = case
    filled = [a.format(identity=officer, tmp=tmp_path) for a in arguments]
    done = run("recordings", "fetch", CALL, *WHY, *filled)
    assert (done.status, len(done.err.splitlines())) == (status, 2)
    assert error in done.err


def test_a_refused_fetch_command_sends_no_request_to_the_server(run, server, archive, tmp_path):
    run("recordings", "fetch", CALL, *WHY, "--identity", tmp_path / "none")
    run("recordings", "fetch", CALL, "--purpose", "curiosity", "--reference", "x", "--sealed")
    run("recordings", "fetch", CALL, "--purpose", "complaint", "--reference", " ", "--sealed")
    run("recordings", "fetch", CALL, *WHY, "--sealed", "-o", "/proc/self/call.age")
    assert archive.asked == []


def test_a_full_temporary_folder_is_reported_with_a_hint(server, tmp_path):
    command = ("recordings", "fetch", CALL, *WHY, "--sealed", "-o", tmp_path / "call.age")
    done = run_with_small_files(8, *command)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write to the folder for temporary files")
    assert "hint: set $TMPDIR to a folder with more space" in done.stderr


def test_an_existing_file_is_replaced_only_with_the_force_option(run, server, officer, tmp_path):
    out = tmp_path / "call.flac"
    out.write_text("precious")
    words = ("recordings", "fetch", CALL, *WHY, "--identity", officer, "-o", out)
    refused = run(*words)
    assert refused.status == 1
    assert out.read_text() == "precious"
    assert run(*words, "--force").status == 0
    assert out.read_bytes()[:4] == b"fLaC"


def test_fetch_never_replaces_a_named_pipe(run, server, officer, tmp_path):
    pipe = tmp_path / "pipe.flac"
    os.mkfifo(pipe)
    done = run("recordings", "fetch", CALL, *WHY, "--identity", officer, "-o", pipe, "--force")
    assert (done.status, pipe.is_fifo()) == (1, True)


PACKETS = b"\x0a\x0d\x0d\x0a what could not be decoded" * 9000


@pytest.fixture
def kept_raw(archive, officer):
    """A recording with packets that could not be decoded."""
    keys = OfficerKeys.load(officer)
    archive.raw = payload_of(PACKETS, open_header(archive.header, [keys.identity]))
    facts = {"size": len(archive.raw), "sha256": "0" * 64, "packets": 123}
    archive.shown = archive.signed(archive.digest, raw=facts).decode()


@pytest.mark.usefixtures("server", "kept_raw")
def test_undecoded_packets_are_listed_and_fetched_unchanged(run, archive, officer, tmp_path):
    assert "kept raw" in run("recordings", "list").out
    shown = run("recordings", "show", CALL).out
    assert "123 packets could not be decoded: `fetch --raw` fetches them" in shown
    out = tmp_path / "call.pcapng"
    done = run("recordings", "fetch", CALL, *WHY, "--raw", "--identity", officer, "-o", out)
    assert done.status == 0, done.err
    assert out.read_bytes() == PACKETS
    assert archive.asked[-1][2] == {"purpose": "complaint", "reference": "C-1024", "raw": True}
    assert "sealed" not in done.out


@pytest.mark.usefixtures("server", "kept_raw")
def test_undecoded_packets_stay_sealed_with_the_sealed_option(run, archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("recordings", "fetch", CALL, *WHY, "--raw", "--sealed")
    assert done.status == 0, done.err
    assert (tmp_path / f"{CALL}.pcapng.age").read_bytes() == archive.header + archive.raw


@pytest.mark.usefixtures("server", "kept_raw")
def test_a_changed_byte_of_the_undecoded_packets_leaves_no_file(run, archive, officer, tmp_path):
    archive.raw = archive.raw[:-1] + bytes([archive.raw[-1] ^ 1])
    out = tmp_path / "call.pcapng"
    done = run("recordings", "fetch", CALL, *WHY, "--raw", "--identity", officer, "-o", out)
    assert done.status == 1
    assert not out.exists()
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("more", [("--from", "0:10"), ("--format", "wav")])
@pytest.mark.usefixtures("server")
def test_options_for_audio_are_refused_with_the_raw_option(run, archive, officer, more):
    done = run("recordings", "fetch", CALL, *WHY, "--raw", "--identity", officer, *more)
    assert done.status == 2
    assert archive.asked == []
