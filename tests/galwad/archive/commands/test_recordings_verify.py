"""`galwad recordings verify`: each fault is named, whichever byte was changed.

Covers `galwad/archive/commands/recordings_verdicts.py`, `galwad/cli/support/identities.py`,
`galwad/archive/commands/keys.py` and `recording/keys/signed_document.py`.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from helpers.house import House
from helpers.site import Site
from recording.archive.disposal import CERTIFICATE, AuditPlace, Certificate
from recording.archive.manifest import read_manifest, sign_manifest
from recording.audit.chain import ChainEntry
from recording.keys.keyring import public_text
from recording.keys.signed_document import sign_trust

CALL = "20261125-093000-abcdefgh"
SEALED = "20260301-090000-abcdefgh"


@pytest.fixture
def folder(archive, tmp_path):
    """An archive's folder with one recording."""
    path = tmp_path / "archive" / "2026" / "11" / "25"
    path.mkdir(parents=True)
    (path / f"{CALL}.header").write_bytes(archive.header)
    (path / f"{CALL}.payload").write_bytes(archive.payload)
    (path / f"{CALL}.manifest").write_bytes(archive.manifest)
    return path


@pytest.fixture
def key(archive):
    """The option with the public key of the node, from a trusted source."""
    return "--node-key", public_text(archive.node.public_key())


def damage(file, where):
    data = bytearray(file.read_bytes())
    data[where] ^= 1
    file.write_bytes(data)


def test_an_undamaged_recording_verifies_as_whole(run, folder, officer, key, tmp_path):
    done = run("recordings", "verify", tmp_path / "archive", *key)
    text = f"{CALL}  whole (signed by galwad-1)\n1 recording: 1 whole\n"
    assert (done.status, done.out) == (0, text)
    opened = run("recordings", "verify", folder, "--identity", officer, *key)
    assert opened.out.startswith(f"{CALL}  whole (signed by galwad-1; opened to its end)\n")
    told = run("recordings", "verify", folder, *key, "--json").json()[0]
    assert (told["state"], told["whole"], told["signer"]) == ("whole", True, key[1])


def test_a_recording_is_not_whole_without_a_trusted_key(run, archive, folder, officer, tmp_path):
    """A forger seals sound for the officer, and signs the manifest with a key of their own."""
    archive.node = Ed25519PrivateKey.generate()
    (folder / f"{CALL}.manifest").write_bytes(archive.signed(archive.digest))
    signer = public_text(archive.node.public_key())
    for more in ((), ("--identity", officer), ("--officer-key", signer)):
        done = run("recordings", "verify", tmp_path / "archive", *more)
        assert done.status == 1
        assert f"{CALL}  UNKNOWN SIGNER: " in done.out
        assert f"no trusted key vouches for its signer, {signer}" in done.out
        assert done.out.splitlines()[-1] == "1 recording: 1 unknown signer"
        assert "--node-key" in done.err
        assert not run("recordings", "verify", folder, *more, "--json").json()[0]["whole"]


def test_a_forged_disposal_does_not_excuse_a_missing_recording_without_a_trusted_key(
    run, archive, folder, key
):
    """The forger signs both the manifest and the certificate, which must have the same signer."""
    facts = read_manifest(archive.manifest)
    place = AuditPlace("galwad-1", 1, "0" * 64)
    certificate = Certificate(
        *("galwad-disposal-1", CALL, "galwad-1", facts.payload, "", "retention", "user:gwen"),
        *("2026-11-26T09:00:00Z", place),
    )
    (folder / f"{CALL}.header").unlink()
    forger = Ed25519PrivateKey.generate()
    for signer, status in ((forger, 1), (archive.node, 0)):
        (folder / f"{CALL}.disposal").write_bytes(CERTIFICATE.sign(certificate, signer))
        (folder / f"{CALL}.manifest").write_bytes(sign_manifest(facts, signer))
        assert run("recordings", "verify", folder, *key).status == status
        done = run("recordings", "verify", folder)
        assert done.status == 1
        assert f"{CALL}  UNKNOWN SIGNER: disposed of 2026-11-26" in done.out


def test_the_officers_signed_trust_file_vouches_for_a_signer(run, archive, folder, officer, key):
    keys = officer.parent
    shown = run("keys", "show", keys, "--json").json()
    done = run("keys", "trust", keys, *key)
    assert (done.status, key[1] in done.out) == (0, True)
    trust = keys / "trusted-nodes.json"
    assert run("keys", "trust", keys, *key).status == 1, "it is replaced only with --force"
    verify = ("recordings", "verify", folder)
    assert run(*verify, "--identity", officer).status == 0
    assert run(*verify, "--trust", trust, "--officer-key", shown["officer_key"]).status == 0
    unproven = run(*verify, "--trust", trust)
    assert (unproven.status, "--officer-key" in unproven.err) == (2, True)
    archive.node = Ed25519PrivateKey.generate()
    (folder / f"{CALL}.manifest").write_bytes(archive.signed(archive.digest))
    forged = run(*verify, "--identity", officer)
    assert (forged.status, "signed by another node's key" in forged.out) == (1, True)
    stranger = sign_trust([public_text(archive.node.public_key())], archive.node)
    trust.write_bytes(stranger)
    refused = run(*verify, "--identity", officer)
    assert (refused.status, refused.out) == (1, "")
    assert "the trust-file is signed by another officer's key" in refused.err


@pytest.mark.parametrize("where", [0, 20, 70_000, -1])
def test_a_changed_byte_of_the_payload_is_found_without_a_key(run, folder, where):
    damage(folder / f"{CALL}.payload", where)
    done = run("recordings", "verify", folder)
    assert done.status == 1
    assert "NOT WHOLE: the payload was changed or swapped" in done.out
    assert done.out.splitlines()[-1] == "1 recording: 1 not whole"
    assert done.err.startswith("error: not every recording was proven to be whole\nhint: ")


@pytest.mark.parametrize("where", [0, 20, 70_000, -1])
def test_a_changed_payload_with_a_forged_manifest_is_found_with_an_identity(
    run, archive, folder, key, where
):
    officer = folder.parents[3] / "officer" / "identity.txt"
    damage(folder / f"{CALL}.payload", where)
    digest = hashlib.sha256((folder / f"{CALL}.payload").read_bytes()).hexdigest()
    (folder / f"{CALL}.manifest").write_bytes(archive.signed(digest))
    assert run("recordings", "verify", folder, *key).status == 0
    done = run("recordings", "verify", folder, "--identity", officer, *key)
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
    assert done.out == f"{CALL}  whole (signed by galwad-1)\n1 recording: 1 whole\n"
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
    run, archive, folder, key, call_id
):
    """The manifest has a valid signature, and only its call id is wrong."""
    other = "20261125-100000-bcdefghi"
    for name in ("header", "payload"):
        (folder / f"{other}.{name}").write_bytes(getattr(archive, name))
    (folder / f"{other}.manifest").write_bytes(archive.signed(archive.digest, call_id=call_id))
    done = run("recordings", "verify", folder, *key)
    assert done.status == 1
    whole, strange, counted = done.out.splitlines()
    assert whole == f"{CALL}  whole (signed by galwad-1)"
    assert strange.startswith(f"{other}  NOT WHOLE: the manifest belongs to {call_id}")
    assert counted == "2 recordings: 1 whole, 1 not whole"


def test_control_characters_in_a_manifest_are_not_printed(run, archive, folder):
    manifest = archive.signed(archive.digest, call_id="x\x1b[1A\nwhole")
    (folder / f"{CALL}.manifest").write_bytes(manifest)
    line, _ = run("recordings", "verify", folder).out.splitlines()
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
    assert "INDEX ONLY" in run("recordings", "verify", CALL).out
    archive.shown = archive.signed(archive.digest, interrupted=True).decode()
    done = run("recordings", "verify", CALL)
    assert done.status == 1
    assert "the manifest is not the one that was indexed" in done.out
    archive.shown = None
    assert "the manifest is missing" in run("recordings", "verify", CALL).out


WHY = ("--purpose", "complaint", "--reference", "C-1")


@pytest.mark.usefixtures("server")
def test_without_purpose_and_reference_a_recording_is_only_compared_with_the_servers_index(
    run, archive, officer, key
):
    archive.gaps = []
    for more in ((), key):
        done = run("recordings", "verify", CALL, *more)
        assert done.status == 1
        assert done.out.startswith(f"{CALL}  INDEX ONLY: header and payload were not read")
        assert "--purpose and --reference" in done.err
    assert not any(path.endswith("/fetch") for _, path, _ in archive.asked)
    useless = run("recordings", "verify", CALL, "--identity", officer, *key)
    assert (useless.status, "--identity needs the files" in useless.err) == (2, True)
    assert run("recordings", "verify", CALL, *WHY[:2]).status == 2


@pytest.mark.usefixtures("server")
def test_the_files_of_a_recording_on_the_server_are_fetched_and_verified_for_a_purpose(
    run, archive, officer, key
):
    archive.gaps = []
    verify = ("recordings", "verify", CALL, *WHY, "--identity", officer)
    whole = run(*verify, *key)
    assert whole.status == 0, whole.out
    assert whole.out == (
        f"{CALL}  whole (signed by galwad-1; opened to its end)\n1 recording: 1 whole\n"
    )
    fetches = [body for _, path, body in archive.asked if path.endswith("/fetch")]
    assert fetches == [{"purpose": "complaint", "reference": "C-1"}]
    assert "UNKNOWN SIGNER" in run(*verify).out


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """A desk and a finaliser with one recording that they sealed; gwen is signed in."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        house.record(SEALED)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin"))
        yield house


def test_a_changed_shortened_or_missing_payload_or_header_is_found_when_files_are_fetched(
    run, house, tmp_path
):
    """Without the files, the verdict is never "whole": the index cannot know."""
    archive = house.site.settings.archive
    key = ("--node-key", archive / "galwad.pub")
    identity = tmp_path / "identity.txt"
    house.site.officer.save(identity)
    fetched = ("recordings", "verify", SEALED, *WHY, *key, "--identity", identity)
    whole = run(*fetched)
    assert (whole.status, "opened to its end" in whole.out) == (0, True), whole.out
    fetches = [facts["reference"] for kind, facts in house.audit() if kind == "recording.fetched"]
    assert fetches == ["C-1"]

    def changed(data):
        return data[:-1] + bytes([data[-1] ^ 1])

    for part in ("payload", "header"):
        path = house.path(SEALED, part)
        kept = path.read_bytes()
        for content in (changed(kept), kept[:-1], None):
            path.unlink() if content is None else path.write_bytes(content)
            alone = run("recordings", "verify", SEALED, *key)
            assert (alone.status, "INDEX ONLY" in alone.out) == (1, True)
            done = run(*fetched)
            assert done.status == 1
            assert "NOT WHOLE: the " in done.out
            assert done.out.splitlines()[-1] == "1 recording: 1 not whole"
            path.write_bytes(kept)
    assert run(*fetched).status == 0


def test_a_failed_fetch_recommends_a_command_that_names_the_changed_file(run, house, tmp_path):
    payload = house.path(SEALED, "payload")
    sealed = payload.read_bytes()
    payload.write_bytes(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    failed = run("recordings", "fetch", SEALED, *WHY, "--sealed", "-o", tmp_path / "x")
    assert failed.status == 1
    command = failed.err.split("`galwad ")[1].split("`")[0]
    done = run(*shlex.split(command))
    assert "NOT WHOLE: the payload was changed or swapped" in done.out


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


def test_verify_with_since_skips_earlier_recordings(run, folder, key, tmp_path):
    archive = tmp_path / "archive"
    assert run("recordings", "verify", archive, "--since", "2026-11-25", *key).status == 0
    done = run("recordings", "verify", archive, "--since", "2026-11-26")
    assert (done.status, done.out) == (1, "")
    assert run("recordings", "verify", archive, "--since", "then").status == 2


@pytest.mark.usefixtures("server")
def test_verify_without_a_target_checks_all_recordings_of_the_server(run, archive):
    archive.gaps = []
    done = run("recordings", "verify", "--since", "2026-11-24")
    assert (done.status, done.out.splitlines()[-1]) == (1, "1 recording: 1 index only")
    assert archive.asked[0][1] == "/recordings/search"
    archive.shown = None
    assert "the manifest is missing" in run("recordings", "verify").out
