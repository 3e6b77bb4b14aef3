"""The officer's key file, protected by a passphrase, in every command that reads it.

Covers `galwad/archive/commands/keys.py`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from helpers.house import House
from helpers.site import Site
from helpers.terminal import CTRL_D, on_terminal
from recording.age.file import Identity, dearmored, encrypt_small
from recording.age.identity_file import Passphrase
from recording.keys.keyring import OfficerKeys, RecipientSet, public_text

CALL = "20261125-093000-abcdefgh"
SECRET = "Ŵyth o'r gloch bob bore"
WHY = ("--purpose", "complaint", "--reference", "C-1024")
GALWAD = (sys.executable, "-m", "galwad")


def protect(officer, path):
    """Save the officer's keys again, protected by the passphrase."""
    OfficerKeys.load(officer).save(path, Passphrase(SECRET, work_factor=5))
    return path


@pytest.fixture
def guarded(officer, tmp_path):
    """The officer's folder, with only a protected key file."""
    folder = tmp_path / "guarded"
    folder.mkdir()
    protect(officer, folder / "identity.age")
    return folder


@pytest.fixture
def told(run, monkeypatch):
    """Put the passphrase into the environment."""
    del run  # it clears the environment first
    monkeypatch.setenv("GALWAD_PASSPHRASE", SECRET)


@pytest.fixture
def folder(archive, tmp_path):
    """An archive's folder with one recording."""
    path = tmp_path / "archive"
    path.mkdir()
    for kind in ("header", "payload", "manifest"):
        (path / f"{CALL}.{kind}").write_bytes(getattr(archive, kind))
    return path


def test_keys_init_asks_twice_for_the_passphrase_that_protects_the_keys(tmp_path):
    made = on_terminal([*GALWAD, "keys", "init", tmp_path / "k", "--passphrase"], SECRET, SECRET)
    assert made.status == 0, made.shown
    assert SECRET not in made.shown
    assert [path.name for path in (tmp_path / "k").iterdir()] == ["identity.age"]
    shown = on_terminal([*GALWAD, "keys", "show", tmp_path / "k"], SECRET)
    assert shown.out == made.out
    assert b"recipient    age1" in shown.out


@pytest.mark.long
@pytest.mark.peer
def test_stock_age_opens_a_protected_key_file_and_decrypts_with_it(run, told, folder, tmp_path):
    assert run("keys", "init", tmp_path / "k", "--passphrase").status == 0
    file = tmp_path / "k" / "identity.age"
    plain = on_terminal(["age", "-d", file], SECRET)
    assert (plain.status, plain.out.count(b"AGE-SECRET-KEY-1")) == (0, 1)
    officer = OfficerKeys.load(file, lambda _: SECRET)
    (tmp_path / "sealed").write_bytes(encrypt_small(b"speech", [officer.identity.recipient]))
    opened = on_terminal(["age", "-d", "-i", file, tmp_path / "sealed"], SECRET)
    assert (opened.status, opened.out) == (0, b"speech")


def test_verify_asks_for_the_passphrase_once(archive, folder, guarded):
    words = ("recordings", "verify", folder, "--identity", guarded / "identity.age")
    key = ("--node-key", public_text(archive.node.public_key()))
    said = on_terminal([*GALWAD, *words, *key], SECRET)
    assert said.status == 0
    assert f"{CALL}  whole (signed by galwad-1; opened to its end)\n" in said.out.decode()
    assert said.shown.count("assphrase") == 1


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        ("another", 1, "error: {file}: the passphrase is wrong"),
        (CTRL_D, 130, "error: interrupted"),
    ],
    ids=["wrong", "end of input"],
)
def test_a_wrong_or_missing_passphrase_gives_one_error(folder, guarded, answer, status, error):
    file = guarded / "identity.age"
    said = on_terminal([*GALWAD, "recordings", "verify", folder, "--identity", file], answer)
    assert (said.status, said.out) == (status, b"")
    lines = [line for line in said.shown.splitlines() if line.startswith("error: ")]
    assert lines == [error.format(file=file)]


def test_without_a_terminal_the_hint_names_the_passphrase_variable(guarded):
    done = subprocess.run(
        [*GALWAD, "keys", "show", guarded],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: a passphrase is required, and there is no terminal to ask for it\n"
        "hint: set $GALWAD_PASSPHRASE to the passphrase\n"
    )


@pytest.mark.parametrize("form", [bytes, dearmored], ids=["armored", "binary"])
@pytest.mark.usefixtures("server", "told")
def test_a_recording_is_fetched_with_a_protected_key_file(run, guarded, speech, tmp_path, form):
    file = guarded / "identity.age"
    file.write_bytes(form(file.read_bytes()))
    out = tmp_path / "call.wav"
    done = run("recordings", "fetch", CALL, *WHY, "--identity", file, "-o", out)
    assert done.status == 0, done.err
    assert np.array_equal(soundfile.read(out, dtype="int16")[0], speech)


@pytest.mark.usefixtures("server")
def test_a_fetch_with_a_wrong_passphrase_sends_no_request(
    run, archive, guarded, tmp_path, monkeypatch
):
    monkeypatch.setenv("GALWAD_PASSPHRASE", "another")
    out = tmp_path / "call.wav"
    done = run("recordings", "fetch", CALL, *WHY, "--identity", guarded / "identity.age", "-o", out)
    assert (done.status, archive.asked, out.exists()) == (1, [], False)
    assert done.err.startswith(f"error: {guarded / 'identity.age'}: the passphrase is wrong\n")


@pytest.mark.usefixtures("told")
def test_a_recipient_set_is_signed_with_a_protected_key_file(run, guarded, officer, tmp_path):
    done = run("keys", "sign", guarded, "-o", tmp_path / "recipients.json")
    assert done.status == 0, done.err
    key = OfficerKeys.load(officer).public_key
    assert RecipientSet.load(tmp_path / "recipients.json", key).serial == 1


@pytest.mark.usefixtures("told")
def test_a_spool_key_is_recovered_with_a_protected_key_file(run, tmp_path):
    site, call_id = Site(tmp_path / "node"), "20260301-090000-abcdefgh"
    site.call(call_id)
    site.officer.save(tmp_path / "identity.age", Passphrase(SECRET, work_factor=5))
    spool = site.spool / f"{call_id}.1.spool"
    words = ("--identity", tmp_path / "identity.age", "--reference", "POWER-1", "--offline")
    done = run("recordings", "recover", spool, *words, "-o", tmp_path)
    assert done.status == 0, done.err
    assert (tmp_path / f"{call_id}.1.recovered").exists()


@pytest.mark.usefixtures("told")
def test_headers_are_rewrapped_with_two_protected_key_files(run, tmp_path, monkeypatch):
    with House(Site(tmp_path / "node")) as house:
        house.record("20260301-090000-abcdefgh")
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen"))
        officer, deputy = house.site.officer, Identity.generate()
        named = [("Officer", officer.identity.recipient), ("Deputy", deputy.recipient)]
        house.site.recipients.write_bytes(RecipientSet.of(named, 2).sign(officer.signing))
        for name, keys in (("own", officer), ("more", OfficerKeys(deputy, officer.signing))):
            (tmp_path / name).mkdir()
            keys.save(tmp_path / name / "identity.age", Passphrase(SECRET, work_factor=5))
        more = ("--identity", tmp_path / "more" / "identity.age")
        done = run("keys", "rewrap", tmp_path / "own", *more, "--reference", "KEYS-1")
        assert done.status == 0, done.err
        assert "1 recordings: 1 rewrapped, 0 already" in done.out


def test_a_plain_key_file_beside_a_protected_one_needs_no_passphrase(run, guarded, officer):
    shutil.copy(officer, guarded / "identity.txt")
    done = run("keys", "show", guarded)
    assert done.status == 0, done.err
    assert f"file         {guarded / 'identity.txt'}" in done.out


@pytest.mark.parametrize("options", [(), ("--passphrase",)])
@pytest.mark.usefixtures("told")
def test_keys_init_is_refused_in_a_folder_with_keys(run, guarded, options):
    before = (guarded / "identity.age").read_bytes()
    done = run("keys", "init", guarded, *options)
    assert done.err == (
        f"error: {guarded / 'identity.age'} already exists\n"
        "hint: choose another folder: keys are never overwritten\n"
    )
    assert [path.read_bytes() for path in guarded.iterdir()] == [before]


def test_a_new_passphrase_under_12_characters_is_refused(run, tmp_path, monkeypatch):
    monkeypatch.setenv("GALWAD_PASSPHRASE", "elevenchars")
    done = run("keys", "init", tmp_path / "k", "--passphrase")
    assert (done.status, list((tmp_path / "k").iterdir())) == (1, [])
    assert done.err.startswith("error: the passphrase has fewer than 12 characters\nhint: ")
