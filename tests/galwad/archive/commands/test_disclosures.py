"""`galwad disclosures`: no recording is used for the police without a disclosure that allows it.

Covers `galwad/archive/commands/disclosures.py`, `galwad/archive/disclosure_routes.py` and
`galwad/archive/disclosures.py`.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time

import httpx2
import pytest

from galwad.archive import routes
from galwad.archive.disclosures import Disclosure
from helpers.house import House
from helpers.site import Site

CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(3)]
FIRST, SECOND, THIRD = CALLS
POLICE = (
    *("--purpose", "crime", "--requester", "DC Jones, South Wales Police"),
    *("--authority", "DPA 2018 schedule 2, form 7", "--recipient", "DC Jones"),
    *("--reference", "POLICE-7"),
)
URGENT = ("--urgent", "a child is missing")
CRIME = ("--purpose", "crime", "--reference", "POLICE-7")
DAY_S = 86_400.0
COMPARED = ("recording.fetched", "evidence.made", "disclosure.sent")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with House(Site(tmp_path_factory.mktemp("disclosures"))) as house:
        house.record(*CALLS)
        # An account that gwen makes gets the right `purge`, which only its owners can give.
        tokens = {"gwen": house.token("gwen", "admin", "purge"), "nia": house.token("nia")}
        yield house, tokens | {"mair": house.token("mair", "supervisor")}


@pytest.fixture
def house(node, run, monkeypatch):
    """Three recordings and an empty register; the administrator gwen is signed in."""
    del run  # it clears the environment first
    house, tokens = node
    monkeypatch.setenv("GALWAD_SERVER", house.url)
    monkeypatch.setenv("GALWAD_TOKEN", tokens["gwen"])
    yield house
    tables = ("disclosed_files", "disclosure_calls", "disclosures")
    change(house, *(f"DELETE FROM {name}" for name in tables))
    # The entries about uses and files, too, or the next test finds them without a disclosure.
    change(house, *(f"DELETE FROM audit_entries WHERE kind = '{kind}'" for kind in COMPARED))


@pytest.fixture
def second(node, run, monkeypatch):
    """A function that runs a command as the administrator nia."""

    def as_second(*words, who="nia"):
        with monkeypatch.context() as patch:
            patch.setenv("GALWAD_TOKEN", node[1][who])
            return run(*words)

    return as_second


@pytest.fixture
def opened(house, run):
    """Open a disclosure, and return its number."""

    def opened(*words):
        done = run("disclosures", "open", *words, *POLICE, "--json")
        assert done.status == 0, done.err
        return str(done.json()["disclosure"]["disclosure_id"])

    return opened


@pytest.fixture
def fetch(house, run, tmp_path):
    """Try to fetch a recording; return the error in the first line, or "" if it was fetched."""

    def fetch(call_id, *words):
        file = tmp_path / "call.age"
        done = run("recordings", "fetch", call_id, *words, "--sealed", "-o", file, "--force")
        assert file.exists() == (done.status == 0)
        file.unlink(missing_ok=True)
        return done.err.partition("\n")[0].removeprefix("error: ")

    return fetch


def change(house, *statements):
    with sqlite3.connect(house.site.settings.database) as connection:
        for each in statements:
            connection.execute(each)


def state(run, number):
    return run("disclosures", "show", number, "--json").json()["disclosure"]["state"]


def audited(house, *kinds):
    return [facts for kind, facts in house.audit() if kind in kinds]


def checked(run):
    """Return the findings of the promise check about disclosures, and its evidence."""
    found = run("promise-check", "--json").json()["promises"]
    (line,) = [each for each in found if each["name"] == "disclosures"]
    return [each["kind"] for each in line["findings"]], line["evidence"]


def test_recordings_are_used_only_after_a_second_administrator_has_approved(
    house, run, second, opened, fetch
):
    assert fetch(FIRST, *CRIME) == "this purpose needs a disclosure of this recording"
    number = opened(FIRST, SECOND)
    own = ("--disclosure", number)
    assert fetch(FIRST, *CRIME, *own) == f"disclosure {number} is requested, so it cannot be used"
    alone = run("disclosures", "approve", number, "--yes")
    assert alone.err.startswith("error: you have opened this disclosure\n")
    shown = second("disclosures", "approve", number, "--note", "the form is signed", "--yes")
    assert shown.status == 0, shown.err
    assert "requester: DC Jones, South Wales Police\n" in shown.out
    assert shown.out.endswith(f"Disclosure {number} is approved.\n")
    assert fetch(FIRST, *CRIME, *own) == ""
    wrong = f"disclosure {number} does not have this recording and purpose"
    assert fetch(THIRD, *CRIME, *own) == wrong
    assert fetch(FIRST, "--purpose", "vital-interests", "--reference", "P-7", *own) == wrong
    assert fetch(FIRST, *CRIME, "--disclosure", "999").startswith("disclosure 999 does not have")
    again = second("disclosures", "refuse", number, "--note", "no", "--yes")
    assert "the disclosure is decided already" in again.err
    (fetched,) = audited(house, "recording.fetched")[-1:]
    assert (fetched["disclosure"], fetched["reference"]) == (int(number), "POLICE-7")
    (approved,) = audited(house, "disclosure.approved")[-1:]
    assert (approved["actor"], approved["asked_by"]) == ("user:nia", "gwen")
    run("disclosures", "close", number, "--note", "the police have the copy")
    assert fetch(FIRST, *CRIME, *own) == f"disclosure {number} is closed, so it cannot be used"
    assert "no disclosures" in run("disclosures", "list").out
    assert "closed" in run("disclosures", "list", "--all").out
    assert checked(run)[0] == []


def test_an_urgent_disclosure_is_used_at_once_and_reviewed_afterwards(
    house, run, second, opened, fetch
):
    number = opened(FIRST, *URGENT)
    assert fetch(FIRST, *CRIME, "--disclosure", number) == ""
    kinds = [each.kind for each in house.desk.calls.alarms.open()]
    assert "disclosure.review" in kinds
    assert "urgent, not reviewed" in run("disclosures", "list").out
    assert checked(run)[1]["disclosures_unreviewed"] == 1
    run("disclosures", "close", number, "--note", "done")
    assert "closed, not reviewed" in run("disclosures", "list", "--all").out
    reason = ("--note", "it could have waited")
    refused = second("disclosures", "refuse", number, *reason, "--yes")
    assert refused.status == 0, refused.err
    assert checked(run)[1]["disclosures_unreviewed"] == 0
    other = opened(SECOND, *URGENT)
    assert second("disclosures", "refuse", other, *reason, "--yes").status == 0
    why = f"disclosure {other} is refused, so it cannot be used"
    assert fetch(SECOND, *CRIME, "--disclosure", other) == why
    assert checked(run)[0] == []


def test_recordings_are_added_only_by_who_opened_it_and_before_the_decision(run, second, opened):
    number = opened(FIRST)
    other = second("disclosures", "add", number, SECOND)
    assert "gwen has opened this disclosure" in other.err
    assert f"recording: {SECOND}\n" in run("disclosures", "add", number, SECOND, FIRST).out
    unknown = run("disclosures", "add", number, "20260301-090000-hhhhhhhh")
    assert "no recording has this id" in unknown.err
    assert second("disclosures", "approve", number, "--yes").status == 0
    assert "decided already" in run("disclosures", "add", number, THIRD).err
    call_ids = run("disclosures", "show", number, "--json").json()["call_ids"]
    assert call_ids == [FIRST, SECOND]


def test_an_approval_is_only_of_what_the_second_administrator_has_seen(node, opened, run):
    house, tokens = node
    number = opened(FIRST)
    run("disclosures", "add", number, SECOND)
    path = f"{house.url}/api/v1/disclosures/{number}/decision"
    key = {"Authorization": f"Bearer {tokens['nia']}"}
    body = {"version": 1, "decision": "approved"}
    assert httpx2.post(path, json=body, headers=key).status_code == 409
    assert httpx2.post(path, json={**body, "decision": "refused"}, headers=key).status_code == 422
    assert httpx2.post(path, json={**body, "version": 2}, headers=key).status_code == 200


def test_an_account_that_the_opener_has_made_does_not_approve(node, opened):
    house, tokens = node
    number = opened(FIRST)
    made = {"Authorization": f"Bearer {house.account_made_by(tokens['gwen'])}"}
    path = f"{house.url}/api/v1/disclosures/{number}/decision"
    reply = httpx2.post(path, json={"version": 1, "decision": "approved"}, headers=made)
    assert (reply.status_code, "do not count as two people" in reply.text) == (409, True)


def test_only_administrators_see_the_register(opened, second):
    number = opened(FIRST)
    for words in (("list",), ("show", number), ("close", number, "--note", "x")):
        assert second("disclosures", *words, who="mair").status == 1


def test_a_pack_is_for_the_recipient_of_its_disclosure_and_is_in_the_register(
    node, run, second, opened
):
    house, tokens = node
    number = opened(FIRST)
    second("disclosures", "approve", number, "--yes")
    key = {"Authorization": f"Bearer {tokens['gwen']}"}
    path = f"{house.url}/api/v1/recordings/{FIRST}/evidence"
    body = {
        "purpose": "crime",
        "reference": "POLICE-7",
        "disclosure": int(number),
        "sha256": "ab" * 32,
        "size": 4711,
        "recipient": "PC Evans",
    }
    other = httpx2.post(path, json=body, headers=key)
    assert (other.status_code, "for another recipient" in other.text) == (409, True)
    before = len(audited(house, "evidence.made"))
    assert httpx2.post(path, json={**body, "recipient": "DC Jones"}, headers=key).status_code == 200
    assert len(audited(house, "evidence.made")) == before + 1
    assert f"evidence pack of {FIRST} (5 kB) sha256 {'ab' * 32}" in " ".join(
        run("disclosures", "show", number).out.split()
    )
    assert checked(run) == (
        [],
        {
            **dict.fromkeys(("disclosures", "disclosed_files"), 1),
            **dict.fromkeys(("disclosures_urgent", "disclosures_unreviewed"), 0),
            "disclosure_uses": checked(run)[1]["disclosure_uses"],
        },
    )


def test_a_file_that_leaves_in_another_way_is_entered_with_its_digest(
    house, run, second, opened, tmp_path
):
    number, file = opened(FIRST), tmp_path / "call.wav"
    file.write_bytes(b"sound" * 100)
    words = ("disclosures", "sent", number, file, "--what", "on a disc")
    assert "files leave only for a disclosure that is approved" in run(*words).err
    second("disclosures", "approve", number, "--yes")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert digest in run(*words).out
    (sent,) = audited(house, "disclosure.sent")[-1:]
    assert (sent["file_sha256"], sent["recipient"]) == (digest, "DC Jones")
    assert checked(run)[0] == []


def test_a_use_that_the_register_does_not_allow_breaks_the_promise(
    house, run, opened, fetch, monkeypatch
):
    """The mend is taken out: the desk sends recordings without asking the register."""
    number = opened(FIRST)

    async def allows(*_):
        return None

    monkeypatch.setattr(routes, "_why_no_authority", allows)
    for words in ((), ("--disclosure", number), ("--disclosure", "999")):
        assert fetch(FIRST, *CRIME, *words) == ""
    findings, _ = checked(run)
    assert findings == ["use_not_disclosed"] * 3
    house.do(house.desk.archive.nightly.check())
    alarms = [each for each in house.desk.calls.alarms.open() if each.kind == "disclosure.mismatch"]
    assert [each.call_id for each in alarms] == [FIRST]


def test_a_register_that_was_changed_breaks_the_promise(house, run, second, opened, tmp_path):
    number, file = opened(FIRST), tmp_path / "call.wav"
    file.write_bytes(b"sound")
    second("disclosures", "approve", number, "--yes")
    run("disclosures", "sent", number, file, "--what", "on a disc")
    before = checked(run)[0]
    change(house, f"UPDATE disclosed_files SET sha256 = '{'0' * 64}'")
    assert checked(run)[0] == [*before, "file_not_registered", "file_not_audited"]


def test_an_urgent_disclosure_must_be_reviewed_within_three_days(house, run, opened):
    number = opened(FIRST, *URGENT)
    register, audit = house.desk.archive.disclosures, house.desk.host.audit
    now = time.time()
    for days, kinds in ((2, []), (4, ["not_reviewed"])):
        span = now - DAY_S, now + 1
        _, found = house.do(register.compared(audit, *span, now + days * DAY_S))
        mine = [each.kind for each in found if each.text == f"disclosure {number}"]
        assert mine == kinds


@pytest.mark.parametrize(
    ("facts", "allowed"),
    [
        ({}, {}),
        ({"urgent": "now"}, {1: True, 9: True}),
        ({"decision": "approved", "decided": 20.0}, {1: False, 30: True}),
        ({"decision": "refused", "decided": 20.0}, {30: False}),
        ({"decision": "refused", "decided": 20.0, "urgent": "now"}, {1: True, 30: False}),
        ({"decision": "approved", "decided": 20.0, "closed": 40.0}, {30: True, 50: False}),
        ({"decision": "approved", "decided": 20.0, "urgent": "now"}, {1: True, 30: True}),
    ],
)
def test_a_disclosure_allows_uses_from_its_approval_to_its_end(facts, allowed):
    texts = ("requester", "authority", "recipient", "reference", "details", "asked_by")
    given = {"urgent": "", **dict.fromkeys(texts, "x"), **facts}
    disclosure = Disclosure(disclosure_id=1, purpose="crime", opened=0.0, **given)
    assert {at: disclosure.allowed_at(at) for at in allowed} == allowed


def test_a_case_allows_the_use_of_its_calls_by_law_while_it_is_open(run, fetch):
    words = ("--reference", "SAR 4", "--name", "Mair Evans", "--language", "en", "--json")
    done = run("cases", "open", "access", "--call", FIRST, *words)
    case = ("--case", str(done.json()["case"]["case_id"]))
    law = ("--purpose", "legal-disclosure", "--reference", "SAR 4")
    assert fetch(FIRST, *law, *case) == ""
    no_case = f"case {case[1]} is not open, or does not have this call"
    assert fetch(SECOND, *law, *case) == no_case
    assert fetch(FIRST, *CRIME, *case) == "this purpose needs a disclosure of this recording"
    complaint = ("--purpose", "complaint", "--reference", "C-1")
    assert fetch(FIRST, *complaint, *case) == "this purpose has no disclosure and no case"
    run("cases", "step", case[1], "closed", "--outcome", "granted")
    assert fetch(FIRST, *law, *case) == no_case
    assert checked(run)[0] == []
