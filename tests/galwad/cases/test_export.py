"""`galwad cases export` and `accesses`: the person opens the pack and checks it with stock tools.

Covers `galwad/cases/commands/export.py`, `galwad/cases/commands/pack.py` and the endpoints about
packs and accesses in `galwad/cases/routes.py`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import asdict

import bagit
import numpy as np
import pytest
import soundfile

from callerid.person import Person
from galwad.cases import scope
from galwad.cases.store import SearchedPlace
from galwad.cli.support.client import ask
from galwad.cli.support.page_texts import Texts
from helpers.house import House
from helpers.notes import written
from helpers.site import NUMBER, Site
from recording.age.file import Identity
from recording.keys.signed_document import sign_trust

pytestmark = pytest.mark.peer  # age, flac, and the libraries of WeasyPrint
CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(3)]
FIRST, SECOND, OTHERS = CALLS
PLACES = (
    "linked-call",
    "recordings",
    "call-log",
    "open-notes",
    "notes-of-person",
    "notes-by-reference",
    "notes-on-behalf",
    "numbers-of-person",
)
OPEN = ("open", "access", "--reference", "SAR 4", "--name", "Mair Evans", "--language", "cy")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A node with three recordings, and the folder with its officer's keys."""
    folder = tmp_path_factory.mktemp("export")
    with House(Site(folder / "node")) as house:
        house.record(*CALLS)
        house.site.officer.save(folder / "identity.txt")
        key = (house.site.settings.archive / "galwad.pub").read_text().strip()
        (folder / "trusted-nodes.json").write_bytes(sign_trust([key], house.site.officer.signing))
        yield house, folder / "identity.txt", house.token("gwen", "admin")


@pytest.fixture
def house(node, run, monkeypatch):
    """The node with the administrator gwen signed in."""
    del run  # it clears the environment first
    monkeypatch.setenv("GALWAD_SERVER", node[0].url)
    monkeypatch.setenv("GALWAD_TOKEN", node[2])
    return node[0]


@pytest.fixture
def case(house, run):
    """A case with three calls, of which one is excluded, and one has a contact note."""
    notes, now = house.desk.notes.contacts, time.time()
    mair = Person("crm:1042", "Mair Evans")
    house.do(notes.save_confirmation(FIRST, mair, "confirmed", now))
    note = written("Treth Gyngor", "cy", "Ffurflen", notes="<b>Holodd</b> am ostyngiad")
    house.do(notes.save(FIRST, note, now))
    opened = run("cases", *OPEN, "--received", "2026-03-02", "--channel", "letter", "--json")
    number = str(opened.json()["case"]["case_id"])
    run("cases", "search", number, "--number", NUMBER)
    run("cases", "exclude", number, OTHERS, "--reason", "a call of Owen Evans")
    return number


@pytest.fixture
def export(node, run, case, tmp_path):
    """Export the case for a person with a new key; return the result and the opened folder."""
    person = Identity.generate()
    (tmp_path / "key.txt").write_text(f"{person}\n")

    def export(*more, identity=node[1]):
        to = ("--to", f"Mair Evans={person.recipient}", "--identity", identity)
        done = run("cases", "export", case, *to, "-o", tmp_path / "sar.tar.age", *more)
        if done.status == 0:
            command = f"age -d -i key.txt sar.tar.age | tar -x -C {tmp_path}"
            subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, cwd=tmp_path)
        return done, tmp_path / f"case-{case}"

    return export


def instructed(folder):
    """Run the commands of the pack's verify.txt; return what they print."""
    text = (folder / "data/verify.txt").read_text()
    script = folder.parent / "verify.sh"
    script.write_text(text[text.index("# 1.") :])
    done = subprocess.run(["bash", script], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_person_opens_the_pack_and_checks_each_call(export, house, run, case):
    silence = ("--silence", f"{SECOND}: advisor 0.5-1", "--why", "another customer")
    done, folder = export(*silence)
    assert done.status == 0, done.err
    assert "calls: 2; audit entry" in done.out
    bagit.Bag(str(folder)).validate()
    data = folder / "data"
    names = {each.name for each in data.iterdir()}
    copies = {f"{call}.flac" for call in (FIRST, SECOND)}
    assert {name for name in names if name.endswith(".flac")} == copies
    assert not [name for name in names if OTHERS in name]
    printed = instructed(folder)
    assert printed.count("Signature Verified Successfully") == 5
    assert printed.count("is complete") == 2
    assert "silenced: advisor from 0.5 to 1 s" in printed
    assert "FAILED" not in printed
    assert "no other file" in printed
    before, _ = soundfile.read(data / f"{FIRST}.flac", dtype="int16")
    after, _ = soundfile.read(data / f"{SECOND}.flac", dtype="int16")
    assert np.all(after[4000:8000, 1] == 0)
    assert np.any(before[4000:8000, 1] != 0)
    calls = json.loads((data / "calls.json").read_text())["calls"]
    assert {each["call_id"]: each["note"] and each["note"]["outcome"] for each in calls} == {
        FIRST: "Ffurflen",
        SECOND: None,
    }
    letter = (data / "letter.html").read_text()
    assert '<html lang="cy">' in letter
    for text in (
        "Mair Evans",
        "SAR 4",
        "Treth Gyngor",
        "&lt;b&gt;Holodd&lt;/b&gt;",
        "020 7946 0123",
        "another customer",
    ):
        assert text in letter
    # The reason for an exclusion, and the other call, may be about another person.
    for text in ("Owen", OTHERS, "gwen"):
        assert text not in letter
    assert (data / "letter.pdf").read_bytes().startswith(b"%PDF")
    shown = run("cases", "show", case).out
    assert "sent (user:gwen): pack for Mair Evans: 2 calls" in shown
    made = [facts for kind, facts in house.audit() if kind == "evidence.made"]
    assert made[-1]["case"] == int(case)
    assert (made[-1]["calls"], made[-1]["silenced"]) == (2, 1)
    fetched = [facts for kind, facts in house.audit() if kind == "recording.fetched"]
    assert {facts["purpose"] for facts in fetched} == {"legal-disclosure"}


@pytest.mark.parametrize("changed", ["letter.html", f"{FIRST}.flac", f"{FIRST}.manifest"])
def test_a_change_of_a_file_is_found_by_the_commands_in_the_pack(export, changed):
    _, folder = export()
    file = folder / "data" / changed
    octets = bytearray(file.read_bytes())
    octets[len(octets) // 2] ^= 1
    file.write_bytes(octets)
    # A person who changes the bag's own list too is found by the officer's signature.
    subprocess.run("sha256sum data/* > manifest-sha256.txt", shell=True, check=True, cwd=folder)
    printed = instructed(folder)
    assert f"{changed}: FAILED" in printed


def test_an_added_file_is_found_and_an_unreadable_number_is_named(export, house, monkeypatch):
    places = (SearchedPlace("numbers-of-person", "", 0, "unreadable"),)
    monkeypatch.setattr("galwad.cases.commands.pack.ask", with_places(places))
    _, folder = export("--without-note", FIRST)
    (folder / "data/letter2.html").write_text("a second letter")
    subprocess.run("sha256sum data/* > manifest-sha256.txt", shell=True, check=True, cwd=folder)
    assert "no other file" not in instructed(folder)
    letter = (folder / "data/letter.html").read_text()
    assert "Rhifau ffôn eraill y person na allwn eu darllen" in letter
    assert "ostyngiad" not in letter + (folder / "data/calls.json").read_text()
    assert "Gadawsom ein nodyn" in letter


def with_places(places):
    """Return the function that asks the server, which adds a search with these places to a case."""

    def asked(server, method, path, *more, **options):
        answer = ask(server, method, path, *more, **options)
        if method == "GET" and path.count("/") == 2:
            answer["searches"].append({"places": [asdict(each) for each in places]})
        return answer

    return asked


def test_every_place_of_a_search_has_a_text_in_both_languages():
    names = [value for name, value in vars(scope).items() if name.isupper() and value in PLACES]
    assert sorted(names) == sorted(PLACES)
    for language in ("en", "cy"):
        texts = Texts(language)
        assert all(f"evidence.case.place.{each}" in texts for each in PLACES)
        assert all(f"admin.cases.place.{each}" in texts for each in PLACES)


def test_a_case_that_was_changed_during_the_export_gives_no_pack(
    export, run, case, house, monkeypatch
):
    def asked(server, method, path, *more, **options):
        if path.endswith("/packs"):
            run("cases", "exclude", case, FIRST, "--reason", "another person")
        return ask(server, method, path, *more, **options)

    monkeypatch.setattr("galwad.cases.commands.pack.ask", asked)
    done, folder = export()
    assert done.err.startswith("error: the case was changed meanwhile\n")
    assert not (folder.parent / "sar.tar.age").exists()


def test_the_accesses_of_the_calls_are_listed_without_those_of_excluded_calls(
    export, run, case, house
):
    for call in (SECOND, OTHERS):
        run("recordings", "show", call)
    export()
    rows = run("cases", "accesses", case, "--json").json()["rows"]
    acts = {(row["call_id"], row["act"]) for row in rows}
    assert {(FIRST, "recording.fetched"), (SECOND, "recording.shown")} <= acts
    assert not [row for row in rows if row["call_id"] == OTHERS]
    assert {row["reference"] for row in rows if row["act"] == "recording.fetched"} == {"SAR 4"}
    assert "legal-disclosure" in run("cases", "accesses", case).out
    assert [row["recipient"] for row in rows if row["act"] == "evidence.made"][:1] == ["Mair Evans"]
    notes = run("cases", "calls", case, "--notes").out
    assert "  notes: <b>Holodd</b> am ostyngiad\n" in notes
    assert "case.accesses-shown" in [kind for kind, _ in house.audit()]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (("--silence", "advisor"), "--silence and --why belong together"),
        (("--silence", f"{OTHERS}: advisor", "--why", "x"), f'--silence "{OTHERS}: advisor" names'),
        (("--silence", "advisor 9:00-9:10", "--why", "x"), '--silence "advisor 9:00-9:10" has no'),
    ],
)
def test_a_pack_that_cannot_be_made_leaves_no_file_and_no_step(export, run, case, more, error):
    done, folder = export(*more)
    assert done.err.startswith(f"error: {error}")
    assert not (folder.parent / "sar.tar.age").exists()
    assert run("cases", "show", case, "--json").json()["steps"] == []


def test_a_case_without_calls_or_with_a_damaged_recording_gives_no_pack(
    export, run, case, house, tmp_path
):
    payload = house.path(FIRST, "payload")
    kept = payload.read_bytes()
    try:
        payload.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        done, _ = export()
    finally:
        payload.write_bytes(kept)
    assert done.status == 1
    assert FIRST in done.err
    run("cases", "exclude", case, *CALLS, "--reason", "not about the person")
    done, _ = export()
    assert done.err.startswith("error: the case has no calls, or all are excluded\n")
    run("cases", "include", case, *CALLS)
    run("cases", "step", case, "closed", "--outcome", "withdrawn")
    done, _ = export()
    assert done.err.startswith("error: the case is closed\n")
    assert not (tmp_path / "sar.tar.age").exists()
    shutil.rmtree(tmp_path)
