"""Commitments: no two facts have the same encoding, and the manifest discloses none of them."""

from __future__ import annotations

import base64
import json
import subprocess
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.recording.age_files import FILE_KEY, ME
from recording.age.file import Identity, encrypt_part
from recording.age.header import make_header
from recording.archive.commitments import (
    FACTS,
    changed_facts,
    commit,
    commitment,
    encoded,
    match,
    open_facts,
    seal_facts,
)
from recording.archive.manifest import Manifest, read_manifest
from recording.archive.summary import LaterAdvisor, LaterCaller, PersonalFacts
from recording.errors import AgeError, ManifestError, NoMatchError
from recording.spool import SpoolReader

CALL_ID = "20260301-090000-abcdefgh"
NUMBER = "+442079460123"
SALT = bytes(range(32))
SALT_TEXT = SALT.hex()
TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
CALLERS = st.lists(
    st.builds(LaterCaller, st.integers(0, 2**53), st.none() | TEXTS, st.booleans()), max_size=3
).map(tuple)
ADVISORS = st.lists(st.builds(LaterAdvisor, st.integers(0, 2**53), TEXTS, TEXTS), max_size=3).map(
    tuple
)
PARTIES = {"later_callers": CALLERS, "later_advisors": ADVISORS}
VALUES = (
    st.none() | TEXTS | st.sampled_from(["", "null", '"', "\\", '","name":"', "\0", "é", "e\u0301"])
)
NESTED = st.recursive(
    VALUES | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=5),
)
FORGED = st.tuples(
    st.none() | st.binary(max_size=600) | NESTED.map(lambda value: json.dumps(value).encode()),
    TEXTS | st.binary(max_size=600).map(lambda data: base64.b64encode(data).decode()),
)
"""The plaintext of forged facts, or None, and otherwise the text in the manifest."""
HEADER = make_header(FILE_KEY, [ME.recipient])
NAMES = tuple(name for name in FACTS if not name.startswith("later_"))
FACT = st.one_of(
    st.tuples(TEXTS, st.sampled_from(NAMES), VALUES),
    *(st.tuples(TEXTS, st.just(name), values) for name, values in PARTIES.items()),
)
NOTHING = {
    "number": None,
    "line": "",
    "advisor": "",
    "extension": "",
    "later_callers": (),
    "later_advisors": (),
}


def person(facts, salt=SALT_TEXT) -> PersonalFacts:
    return PersonalFacts(**facts, salt=salt)


@given(FACT, FACT)
def test_two_different_facts_never_have_the_same_encoding(one, other):
    assert (encoded(*one) == encoded(*other)) == (one == other)


@given(FACT)
def test_an_encoding_can_be_read_back_as_the_fact(fact):
    call_id, name, value = fact
    plain = json.loads(msgspec.json.encode(value))
    assert json.loads(encoded(*fact)) == {"call_id": call_id, "name": name, "value": plain}


@given(st.binary(min_size=32, max_size=32), FACT, FACT)
def test_a_commitment_matches_only_its_own_fact(salt, one, other):
    assert (commitment(salt, *one) == commitment(salt, *other)) == (one == other)


@given(st.fixed_dictionaries({**dict.fromkeys(NAMES, VALUES), **PARTIES}), FACT)
def test_changed_facts_names_only_the_changed_fact(facts, fact):
    _, name, value = fact
    committed = commit(CALL_ID, person(facts))
    assert list(changed_facts(committed, CALL_ID, person(facts))) == []
    found = list(changed_facts(committed, CALL_ID, person({**facts, name: value})))
    assert found == ([] if facts[name] == value else [name])


def test_facts_with_another_salt_or_call_id_all_differ():
    later = LaterAdvisor(7, "ceri", "202")
    facts = {**NOTHING, "later_callers": (LaterCaller(7, NUMBER),), "later_advisors": (later,)}
    committed = commit(CALL_ID, person(facts))
    assert len(set(committed.values())) == len(FACTS)
    assert list(changed_facts(committed, CALL_ID, person(facts, "00" * 32))) == list(FACTS)
    other = changed_facts(committed, "20260301-090000-zzzzzzzz", person(facts))
    assert list(other) == list(FACTS)


def test_openssl_computes_the_same_commitment(tmp_path):
    (tmp_path / "fact").write_bytes(encoded(CALL_ID, "number", NUMBER))
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{SALT.hex()}", "fact"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert made.stdout.split()[-1] == commitment(SALT, CALL_ID, "number", NUMBER)


@pytest.mark.parametrize("withheld", [False, True])
def test_a_sealed_manifest_commits_to_the_facts_and_contains_none_of_them(office, withheld):
    call = office.call()
    call.event("call", 0, number=f"{NUMBER};ext=12", withheld=withheld, line="Council Tax")
    call.event("answered", 0, advisor="sian", extension="2017004219")
    call.event("segment", 0, **{"class": "centre", "to": ""})
    sealed = office.seal(call.end(1_000_000))
    number = None if withheld else NUMBER
    salt = sealed.personal.salt
    assert len(bytes.fromhex(salt)) == 32
    assert sealed.personal.number == number
    facts = {"number": number, "line": "Council Tax", "advisor": "sian", "extension": "2017004219"}
    assert sealed.personal == person(facts, salt)
    assert sealed.manifest.index == commit(sealed.manifest.call_id, sealed.personal)
    data = (office.folder / f"{sealed.manifest.call_id}.manifest").read_bytes()
    assert read_manifest(data).index == sealed.manifest.index
    sealed_facts = {**facts, "salt": salt, "later_callers": (), "later_advisors": ()}
    header = (office.folder / f"{sealed.manifest.call_id}.header").read_bytes()
    opened = open_facts(sealed.manifest, header, [office.officer.identity])
    assert msgspec.structs.asdict(opened) == sealed_facts
    for secret in (NUMBER, NUMBER[1:], "Council Tax", "sian", "2017004219", salt):
        assert secret.encode() not in data


def test_later_callers_are_committed_and_in_the_copy_for_the_recipients(office):
    call = office.call()
    call.event("call", 0, number=NUMBER, withheld=False, line="main")
    call.answer()
    call.event("caller", 100_000, number="+441632960001;ext=5", withheld=False)
    call.event("caller", 200_000, number=None, withheld=True)
    path = call.end(1_000_000)
    sealed = office.seal(path)
    callers = (LaterCaller(100_000, "+441632960001"), LaterCaller(200_000, None, withheld=True))
    assert sealed.personal.later_callers == callers
    facts = {**NOTHING, "number": NUMBER, "line": "main", "later_callers": callers}
    facts |= {name: getattr(sealed.personal, name) for name in ("advisor", "extension")}
    assert sealed.personal == person(facts, sealed.personal.salt)
    assert sealed.manifest.index == commit(CALL_ID, sealed.personal)
    data = (office.folder / f"{CALL_ID}.manifest").read_bytes()
    assert json.loads(data)["manifest"]["index"]["later_callers"]
    assert b"1632960001" not in data
    header = (office.folder / f"{CALL_ID}.header").read_bytes()
    opened = open_facts(sealed.manifest, header, [office.officer.identity])
    assert opened.later_callers == callers
    assert office.seal(path).personal == sealed.personal


def test_later_advisors_are_committed_and_in_the_copy_for_the_recipients(office):
    call = office.call()
    call.event("call", 0, number=NUMBER, withheld=False, line="main")
    call.answer()
    call.event("advisor", 100_000, user="ceri", extension="2024")
    sealed = office.seal(call.end(1_000_000))
    advisors = (LaterAdvisor(100_000, "ceri", "2024"),)
    assert sealed.personal.later_advisors == advisors
    data = (office.folder / f"{CALL_ID}.manifest").read_bytes()
    assert json.loads(data)["manifest"]["index"]["later_advisors"]
    assert b"ceri" not in data
    header = (office.folder / f"{CALL_ID}.header").read_bytes()
    opened = open_facts(sealed.manifest, header, [office.officer.identity])
    assert opened.later_advisors == advisors


def test_a_recording_without_later_parties_lacks_their_fields_and_added_parties_are_named(office):
    call = office.call()
    call.event("call", 0, number=NUMBER, withheld=False, line="main")
    call.answer()
    sealed = office.seal(call.end(1_000_000))
    data = (office.folder / f"{CALL_ID}.manifest").read_bytes()
    assert set(json.loads(data)["manifest"]["index"]) == {*NAMES}
    facts = PersonalFacts(NUMBER, "main", "sian", "2017", SALT.hex())
    assert set(msgspec.to_builtins(facts)) == {*NAMES, "salt"}
    added = msgspec.structs.replace(
        sealed.personal,
        later_callers=(LaterCaller(1, NUMBER),),
        later_advisors=(LaterAdvisor(1, "ceri", "2024"),),
    )
    assert list(changed_facts(sealed.manifest.index, CALL_ID, added)) == [
        "later_callers",
        "later_advisors",
    ]


def manifest_with(facts, sealed_facts):
    committed = commit(CALL_ID, person(facts))
    named = SimpleNamespace(call_id=CALL_ID, index=committed, sealed_facts=sealed_facts)
    return cast("Manifest", named)


@given(st.fixed_dictionaries({**dict.fromkeys(NAMES, TEXTS), **PARTIES}), st.booleans())
def test_a_recipient_reads_the_facts_which_are_padded_to_hide_their_length(facts, withheld):
    facts = {**facts, "number": None if withheld else facts["number"]}
    sealed = seal_facts(person(facts), FILE_KEY)
    assert len(base64.b64decode(sealed)) % 512 == 32  # a nonce and a tag of 16 bytes each
    opened = open_facts(manifest_with(facts, sealed), HEADER, [ME])
    assert opened == person(facts)
    with pytest.raises(NoMatchError):
        open_facts(manifest_with(facts, sealed), HEADER, [Identity.generate()])


@given(FORGED)
def test_facts_that_are_malformed_or_do_not_match_are_refused(forged):
    facts = NOTHING
    plain, text = forged
    sealed = text if plain is None else base64.b64encode(encrypt_part(plain, FILE_KEY)).decode()
    with pytest.raises((ManifestError, AgeError)):
        open_facts(manifest_with(facts, sealed), HEADER, [ME])


def test_the_manifest_commits_to_the_advisor_who_claims_a_call_of_a_group(office):
    """A PBX answers the call without naming a user; later an advisor claims it."""
    call = office.call()
    call.event("call", 0, number=NUMBER, withheld=False, line="main")
    call.event("answered", 0)
    call.event("segment", 0, **{"class": "centre", "to": ""})
    call.event("advisor", 500_000, user="huw", extension="202")
    sealed = office.seal(call.end(1_000_000))
    facts = {**NOTHING, "number": NUMBER, "line": "main", "advisor": "huw", "extension": "202"}
    assert sealed.personal == person(facts, sealed.personal.salt)
    assert match(sealed.personal, sealed.manifest)


def test_each_spool_has_its_own_salt_and_sealing_again_reports_the_same_salt(office):
    call = office.call()
    call.event("call", 0, number=NUMBER, withheld=False, line="main")
    call.answer()
    path = call.end(1_000_000)
    first, again = office.seal(path), office.seal(path)
    assert again.personal == first.personal
    assert again.manifest == first.manifest
    second = SpoolReader.open(office.call(life=2).end(1), office.keys.boot_key)
    assert len({first.personal.salt, second.index_salt}) == 2
    second.close()


def test_sealing_again_without_a_removed_spool_reports_no_personal_facts(office):
    """A crash may remove the first spool of two, after the recording was indexed."""
    first, second = office.call(), office.call(life=2, mono=10.0)
    first.event("call", 0, number=NUMBER, withheld=False, line="main")
    first.answer()
    second.event("call", 0, number=NUMBER, withheld=False, line="main")
    paths = [first.end(1_000_000), second.end(1_000_000)]
    sealed = office.seal(*paths)
    assert sealed.personal.number == NUMBER
    paths[0].unlink()
    again = office.seal(paths[1])
    assert again.manifest == sealed.manifest
    assert again.personal is None
