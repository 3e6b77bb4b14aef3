"""`galwad keys init`, `show` and `sign` on the officer's machine.

Covers `galwad/cli/keys/init.py`, `galwad/cli/keys/show.py` and `galwad/cli/keys/key_files.py`.
"""

from __future__ import annotations

from recording.keys.keyring import RecipientSet


def test_officer_keys_are_made_and_shown_and_sign_a_recipient_set(run, tmp_path):
    folder = tmp_path / "keys"
    made = run("keys", "init", folder, "--json").json()
    assert (folder / "identity.txt").stat().st_mode & 0o777 == 0o600
    shown = run("keys", "show", folder, "--json").json()
    assert shown == made
    assert "AGE-SECRET-KEY" not in run("keys", "show", folder).out
    other = run("keys", "init", tmp_path / "deputy", "--json").json()
    out = tmp_path / "recipients.json"
    done = run("keys", "sign", folder, "--recipient", f"deputy={other['recipient']}", "-o", out)
    assert done.status == 0, done.err
    found = RecipientSet.load(out, made["officer_key"])
    assert [entry.name for entry in found.named] == ["officer", "deputy"]
    again = tmp_path / "next.json"
    assert run("keys", "sign", folder, "--replaces", out, "-o", again).status == 0
    assert RecipientSet.load(again, made["officer_key"]).serial == 2


def test_keys_init_never_overwrites_keys(run, tmp_path):
    run("keys", "init", tmp_path / "keys")
    before = (tmp_path / "keys" / "identity.txt").read_text()
    done = run("keys", "init", tmp_path / "keys")
    assert (done.status, len(done.err.splitlines())) == (1, 2)
    assert (tmp_path / "keys" / "identity.txt").read_text() == before


def test_an_invalid_recipient_is_refused(run, tmp_path):
    run("keys", "init", tmp_path / "keys")
    words = ("keys", "sign", tmp_path / "keys", "-o", tmp_path / "set.json", "--recipient")
    assert run(*words, "age1deputy").status == 2
    assert run(*words, "deputy=age1nonsense").status == 1
    assert not (tmp_path / "set.json").exists()


def test_the_recipients_of_an_earlier_set_are_signed_again_with_a_higher_number(run, tmp_path):
    folder, other = tmp_path / "keys", tmp_path / "deputy"
    officer = run("keys", "init", folder, "--json").json()
    deputy = f"deputy={run('keys', 'init', other, '--json').json()['recipient']}"
    first, second, third = (tmp_path / f"{name}.json" for name in ("first", "second", "third"))
    sign = ("keys", "sign", folder)
    assert run(*sign, "--recipient", deputy, "--without-me", "-o", first).status == 0
    assert run(*sign, "--replaces", first, "-o", second).status == 0
    done = run(*sign, "--recipients-of", first, "--replaces", second, "-o", third)
    assert done.status == 0, done.err
    sets = [RecipientSet.load(path, officer["officer_key"]) for path in (first, second, third)]
    assert [found.serial for found in sets] == [1, 2, 3]
    assert sets[2].named == sets[0].named
