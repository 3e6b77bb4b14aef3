"""`galwad keys init`, `show` and `sign` on the officer's machine."""

from __future__ import annotations

import json
import sys

import pytest

from helpers.terminal import Answer, on_terminal
from recording.keys.keyring import RecipientSet

GALWAD = [sys.executable, "-m", "galwad"]


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
    assert run("keys", "sign", folder, "--replaces", out, "-o", again, "--yes").status == 0
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
    assert run(*sign, "--replaces", first, "-o", second, "--yes").status == 0
    done = run(*sign, "--recipients-of", first, "--replaces", second, "-o", third, "--yes")
    assert done.status == 0, done.err
    sets = [RecipientSet.load(path, officer["officer_key"]) for path in (first, second, third)]
    assert [found.serial for found in sets] == [1, 2, 3]
    assert sets[2].named == sets[0].named


@pytest.fixture
def with_deputy(run, tmp_path):
    """A folder of keys, and a set of the officer and a deputy."""
    folder, first = tmp_path / "keys", tmp_path / "first.json"
    run("keys", "init", folder)
    deputy = run("keys", "init", tmp_path / "deputy", "--json").json()["recipient"]
    sign = ("keys", "sign", folder, "--recipient", f"deputy={deputy}", "-o", first)
    assert run(*sign).status == 0
    return folder, first, deputy


def test_a_recipient_who_is_not_named_again_is_removed_only_after_confirmation(
    with_deputy, tmp_path
):
    folder, first, deputy = with_deputy
    output = tmp_path / "second.json"
    command = [*GALWAD, "keys", "sign", folder, "--replaces", first, "-o", output]
    for answer, status in (("n", 1), ("y", 0)):
        said = on_terminal(command, Answer("Sign?", answer, hidden=False))
        assert f"removed  deputy           {deputy}" in said.shown
        assert (said.status, output.exists()) == (status, status == 0), said.shown
    assert f"--recipients-of {first}" not in said.shown
    assert [each["name"] for each in json.loads(output.read_text())["recipients"]] == ["officer"]


@pytest.mark.parametrize("option", ["--replaces", "--force"])
def test_without_a_terminal_the_recipients_change_only_with_the_yes_option(
    run, with_deputy, option
):
    """`--force` on the set's own file would drop the deputy as well."""
    folder, first, deputy = with_deputy
    before = first.read_bytes()
    more = ("--replaces", first) if option == "--replaces" else ()
    sign = ("keys", "sign", folder, *more, "-o", first, "--force")
    refused = run(*sign)
    assert (refused.status, first.read_bytes()) == (2, before)
    assert f"removed  deputy           {deputy}" in refused.err
    assert f"--recipients-of {first}" in refused.err
    kept = run(*sign, "--recipients-of", first, "--json")
    assert (kept.status, kept.json()["removed"], kept.json()["added"]) == (0, [], []), kept.err
    done = run(*sign, "--yes", "--json")
    assert done.json()["removed"] == [{"name": "deputy", "recipient": deputy}]
    assert [each["name"] for each in done.json()["recipients"]] == ["officer"]
