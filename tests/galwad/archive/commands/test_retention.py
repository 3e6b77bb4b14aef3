"""`galwad retention`, the nightly disposal, and the approval of shorter rules.

Covers `galwad/archive/retention.py`, `galwad/archive/retention_routes.py`,
`galwad/archive/disposals.py` and `recording/index/terms.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from datetime import UTC, datetime

import pytest
from msgspec.structs import asdict

from galwad.archive.clock import ClockWatch
from galwad.archive.retention import DisposalCounts
from galwad.messages import Alarm
from helpers.house import House
from helpers.site import Site
from recording.archive.disposal import CERTIFICATE
from recording.index.search import Cursor

CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(3)]
FIRST, SECOND, THIRD = CALLS
ONE_DAY = 'keep = "1 day"\ncounted_from = "call"'
BY_HAND = 'keep = "by hand"'


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """Three recordings that are kept until a person disposes of them, and gwen, who may purge."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        house.record(*CALLS)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen", "admin", "purge"))
        trust_clock(house)
        yield house


def trust_clock(house, **more):
    retention = house.desk.archive.retention
    watch = {"clock": retention.clock, "is_synchronised": lambda: True, **more}
    retention.watch = ClockWatch(house.desk.host.audit, **watch)
    return retention


@pytest.fixture
def change(house, monkeypatch):
    """A function that restarts the desk with other rules."""

    def change(before, after):
        text = house.site.config.read_text()
        assert before in text
        house.site.config.write_text(text.replace(before, after))
        house.restart()
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        return trust_clock(house)

    return change


def set_clock(house, clock):
    house.desk.archive.retention.clock = clock
    trust_clock(house)


@pytest.fixture
def second(house, monkeypatch):
    """A function that runs a command as nia, the second administrator who may purge."""
    token = house.token("nia", "admin", "purge")

    def as_second(run, *words):
        with monkeypatch.context() as patch:
            patch.setenv("GALWAD_TOKEN", token)
            return run(*words)

    return as_second


@pytest.fixture
def approved(run, change, second):
    """A function that puts rules in force which need two approvals."""

    def approved(before, after):
        retention = change(before, after)
        assert "a second administrator must" in run("retention", "approve", "2", "--yes").out
        assert second(run, "retention", "approve", "2", "--yes").status == 0
        return retention

    return approved


def headers(house):
    return [call_id for call_id in CALLS if house.path(call_id, "header").exists()]


def kinds(house, *wanted):
    return [(kind, facts) for kind, facts in house.audit() if kind in wanted]


def test_rules_without_a_period_dispose_of_nothing(run, house):
    set_clock(house, lambda: time.time() + 10 * 366 * 86_400)
    assert house.do(house.desk.archive.retention.nightly()).disposed == 0
    done = run("retention", "plan")
    assert "Rules in force: version 1" in done.out
    assert "kept until a person disposes of it (general)" in run("recordings", "show", FIRST).out
    assert "No recording is due" in done.out
    assert headers(house) == CALLS


def test_an_account_that_the_first_approver_has_made_cannot_approve(
    run, house, change, monkeypatch
):
    retention = change(BY_HAND, ONE_DAY)
    assert run("retention", "approve", "2", "--yes").status == 0
    monkeypatch.setenv("GALWAD_TOKEN", house.account_made_by(os.environ["GALWAD_TOKEN"]))
    done = run("retention", "approve", "2", "--yes")
    assert done.err.startswith("error: gwen and other do not count as two people: ")
    assert house.do(retention.nightly()).disposed == 0


def test_shorter_rules_wait_until_two_administrators_have_approved_them(run, house, change, second):
    retention = change(BY_HAND, ONE_DAY)
    assert house.do(retention.nightly()).disposed == 0
    plan = run("retention", "plan").out
    assert "Version 2 of the rules waits for two approvals" in plan
    preview = run("retention", "preview", "--json").json()
    assert preview["categories"] == [
        {"category": "general", "recordings": 3, "earlier": 3, "later": 0, "due": 3}
    ]
    assert run("retention", "approve", "3", "--yes").status == 1
    assert run("retention", "approve", "2").status == 2
    assert run("retention", "approve", "2", "--yes").status == 0
    again = run("retention", "approve", "2", "--yes")
    assert (again.status, "you have approved this version already" in again.err) == (1, True)
    assert house.do(retention.nightly()).disposed == 0
    assert headers(house) == CALLS
    assert "Version 2 is in force." in second(run, "retention", "approve", "2", "--yes").out
    assert "(general)" in run("recordings", "show", FIRST).out
    counts = {"version": 2, "earlier": 3, "due": 3}
    assert kinds(house, "retention.approved") == [
        ("retention.approved", {**counts, "actor": "user:gwen"}),
        ("retention.approved", {**counts, "actor": "user:nia"}),
    ]
    assert second(run, "retention", "approve", "2", "--yes").status == 1
    assert house.do(retention.nightly()).disposed == 3
    assert headers(house) == []


def test_longer_rules_are_in_force_at_once_and_the_old_rules_withdraw_those_that_wait(
    house, change
):
    retention = change(BY_HAND, ONE_DAY)
    assert house.do(retention.terms.waiting()).version == 2
    retention = change(ONE_DAY, BY_HAND)
    assert house.do(retention.terms.waiting()) is None
    assert retention.in_force.version == 1
    retention = change(BY_HAND, f'{BY_HAND}\nminimum = "1 week"')
    assert retention.in_force.version == 3, "number 2 was shown to people: it is not used again"
    found = kinds(house, "retention.proposed", "retention.withdrawn", "retention.changed")
    assert [(kind.partition(".")[2], facts["version"]) for kind, facts in found] == [
        ("changed", 1),
        ("proposed", 2),
        ("withdrawn", 2),
        ("changed", 3),
    ]


def test_the_first_rules_on_a_server_with_recordings_wait_too(house, change):
    """As after an upgrade from software without rules."""
    path = house.site.settings.database
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM retention_versions")
    retention = change(BY_HAND, ONE_DAY)
    assert retention.in_force is None
    assert house.do(retention.terms.waiting()).version == 1
    assert house.do(retention.nightly()).disposed == 0


def test_retained_and_restricted_recordings_and_those_with_card_incidents_are_kept(
    run, house, approved, second
):
    retention = approved(BY_HAND, ONE_DAY)
    case = ("--reference", "C-17", "--reason", "claim", "--review", "2099-01-01")
    assert run("holds", "open", FIRST, *case).status == 0
    flagged = run("recordings", "flag", SECOND, "restricted", "--reason", "asked")
    assert flagged.status == 0
    cards = house.desk.archive.captured_cards
    path = house.site.settings.database
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO captured_cards VALUES (?, 1, 2, 3, NULL, NULL, NULL)", (THIRD,)
        )
    (due,) = run("retention", "plan", "--json").json()["due"]
    kept = ("retained", "restricted", "incidents")
    assert (due["recordings"], [due[name] for name in kept]) == (3, [1, 1, 1])
    assert run("retention", "run").out == "disposed of: 0, refused: 0\n"
    assert headers(house) == CALLS
    house.do(cards.close(THIRD, "no key", "a key", time.time()))
    assert run("retention", "run").out == "disposed of: 1, refused: 0\n"
    assert headers(house) == [FIRST, SECOND]
    release = ("holds", "release", "1", "--reason", "settled", "--yes")
    assert (run(*release).status, second(run, *release).status) == (0, 0)
    assert run("recordings", "unflag", SECOND, "restricted", "--reason", "over").status == 0
    counts = house.do(retention.nightly())
    assert (counts.disposed, counts.failed, counts.waits) == (1, 0, "")
    assert headers(house) == [FIRST]  # it is kept for some days after its release


def test_the_certificate_names_the_rule_and_the_manifest_and_is_verified(run, house, approved):
    retention = approved(BY_HAND, ONE_DAY)
    ended = house.do(retention.terms.facts_of([FIRST]))[0].ended
    due = datetime.fromtimestamp(retention.in_force.rules[0].due(ended, None), UTC)
    assert run("retention", "run", "--json").json() == {"disposed": 3, "failed": 0, "waits": ""}
    data = house.path(FIRST, "disposal").read_bytes()
    certificate = CERTIFICATE.read(data)
    manifest = house.path(FIRST, "manifest").read_bytes()
    assert certificate.manifest_sha256 == hashlib.sha256(manifest).hexdigest()
    assert (certificate.by, certificate.reason) == ("system", "retention")
    assert certificate.rule is not None
    assert asdict(certificate.rule) == {
        "category": "general",
        "keep": "1 day",
        "counted_from": "call",
        "version": 2,
        "due": due.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    archive = house.site.settings.archive
    verified = run("recordings", "verify", archive, "--node-key", archive / "galwad.pub")
    assert (verified.status, "rule general of version 2: 1 day from the call" in verified.out) == (
        0,
        True,
    )
    assert run("audit", "verify", "--recordings", archive).status == 0
    other = house.path(SECOND, "manifest").read_bytes()
    house.path(FIRST, "manifest").write_bytes(other)
    assert run("recordings", "verify", archive, "--node-key", archive / "galwad.pub").status == 1


def test_a_flag_moves_a_recording_to_another_category_at_once(run, house, change):
    tables = f'category = "short"\n{BY_HAND}\nflags = ["sensitive"]\n[[retention]]\n'
    retention = change('category = "general"', f'{tables}category = "general"')
    assert house.do(retention.terms.one(FIRST)).category == "general"
    assert run("recordings", "flag", FIRST, "sensitive", "--reason", "health").status == 0
    term = house.do(retention.terms.one(FIRST))
    assert (term.category, term.version) == ("short", 2)
    assert run("recordings", "unflag", FIRST, "sensitive", "--reason", "wrong").status == 0
    assert house.do(retention.terms.one(FIRST)).category == "general"


def test_a_person_cannot_dispose_of_a_recording_as_outdated_before_its_term(run, house, change):
    change(BY_HAND, f'{BY_HAND}\nminimum = "10 years"')
    words = ("recordings", "purge", FIRST, "--reference", "R-1", "--yes", "--reason")
    done = run(*words, "retention")
    assert done.status == 1
    assert "nobody may dispose of this recording (general) as outdated before" in done.err
    assert headers(house) == CALLS
    assert run(*words, "erasure").status == 0


def test_a_clock_in_doubt_disposes_of_nothing_until_an_administrator_confirms_it(
    run, house, approved
):
    retention = approved(BY_HAND, ONE_DAY)
    trust_clock(house, is_synchronised=lambda: False)
    alarms: list[Alarm] = []
    house.desk.host.hear(Alarm, alarms.append)
    assert house.do(retention.nightly()).waits == "the clock is not synchronised"
    assert [each.kind for each in alarms] == ["retention.clock"]
    done = run("retention", "run")
    assert (done.status, "the clock is not synchronised" in done.err) == (1, True)
    assert "Nothing is disposed of" in run("retention", "plan").out
    assert headers(house) == CALLS
    reason = "compared with the mobile network"
    assert run("retention", "confirm-clock", "--reason", reason).status == 0
    assert run("retention", "run").status == 0
    assert headers(house) == []


def test_a_clock_that_jumps_ahead_by_days_disposes_of_nothing(run, house, approved):
    """The machine has been up for as long as before, but its clock says that days have passed."""
    retention = approved(BY_HAND, ONE_DAY)
    started = house.do(house.desk.archive.catalogue.get(FIRST)).started
    now = [started + 3600]
    retention.clock = house.desk.host.audit.clock = lambda: now[0]
    trust_clock(house, uptime=lambda: 10_000.0)
    nothing = DisposalCounts(0, 0, "")
    assert house.do(retention.dispose_due(None)) == nothing
    now[0] += 2.5 * 86_400
    assert house.do(retention.dispose_due(None)).waits == "the clock was set by +216000 s"
    now[0] -= 2.5 * 86_400
    assert house.do(retention.why_in_doubt()) == "the clock was set by -216000 s"
    assert headers(house) == CALLS
    assert run("retention", "confirm-clock", "--reason", "ok").status == 0
    assert house.do(retention.dispose_due(None)) == nothing


def test_a_desk_that_starts_with_its_clock_years_ahead_disposes_of_nothing(house, approved):
    retention = approved(BY_HAND, 'keep = "5 years"\ncounted_from = "call"')
    house.do(retention.nightly())
    set_clock(house, lambda: time.time() + 10 * 366 * 86_400)
    assert "days ago" in house.do(retention.nightly()).waits
    assert headers(house) == CALLS


def test_a_confirmation_without_synchronisation_counts_until_the_machine_starts_again(run, house):
    up = [50_000.0]
    clock = {"uptime": lambda: up[0], "is_synchronised": lambda: False}
    retention = trust_clock(house, **clock)
    assert run("retention", "confirm-clock", "--reason", "ok").status == 0
    assert house.do(retention.why_in_doubt()) == ""
    up[0] = 20.0
    trust_clock(house, **clock)
    assert house.do(retention.why_in_doubt()) == "the clock is not synchronised"


def test_a_night_that_waited_for_the_clock_is_repeated_when_it_is_confirmed(run, house, approved):
    retention = approved(BY_HAND, ONE_DAY)
    trust_clock(house, is_synchronised=lambda: False)
    house.do(retention.nightly())
    assert not house.do(retention.is_due())
    assert run("retention", "confirm-clock", "--reason", "ok").status == 0
    assert house.do(retention.is_due())
    assert house.do(retention.nightly()).disposed == 3
    assert not house.do(retention.is_due())


def test_a_night_without_the_finaliser_changes_nothing_and_does_not_count(house, approved):
    retention = approved(BY_HAND, ONE_DAY)
    finaliser = house.desk.archive.finaliser
    links, finaliser._links = finaliser._links, set()
    assert house.do(retention.nightly()).waits == "the finaliser cannot be reached"
    found = kinds(house, "retention.run", "recording.purge-ordered", "recording.not-purged")
    assert found == []
    finaliser._links = links
    assert house.do(retention.nightly()).disposed == 3


def test_an_order_that_the_desk_no_longer_waits_for_is_refused(run, house, monkeypatch):
    """Otherwise a recording could be retained after the desk gave up, and destroyed after that."""
    monkeypatch.setattr("galwad.archive.disposals._VALID_S", -1.0)
    done = run("recordings", "purge", FIRST, "--reason", "order", "--reference", "R", "--yes")
    assert (done.status, "the order is too old" in done.err) == (1, True)
    assert headers(house) == CALLS


def test_a_recording_whose_line_is_lost_is_kept_if_a_rule_asks_for_a_line(house, approved):
    rules = f'{BY_HAND}\nlines = ["Waste"]\n[[retention]]\ncategory = "rest"\n{ONE_DAY}'
    retention = approved(BY_HAND, rules)
    path = house.site.settings.database
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE recordings SET number = '', line = '', advisor = '', extension = '' "
            "WHERE call_id = ?",
            (FIRST,),
        )
    assert house.do(retention.nightly()).disposed == 2
    assert headers(house) == [FIRST]
    term = house.do(retention.terms.one(FIRST))
    assert (term.category, term.due) == ("rest", None)


def test_the_first_rules_wait_if_only_the_archive_has_recordings(house, change):
    """As after the loss of the database, before the recordings are indexed again."""
    path = house.site.settings.database
    house.__exit__()
    path.unlink()
    house.__enter__()
    retention = change(BY_HAND, ONE_DAY)
    assert retention.in_force.version == 1
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM retention_versions")
    assert change(ONE_DAY, ONE_DAY).in_force is None


def test_a_run_goes_on_after_the_place_in_the_result_before(house, approved):
    retention = approved(BY_HAND, ONE_DAY)
    done = house.do(retention.dispose_due(2))
    assert (done.disposed, Cursor.parse(done.after).call_id) == (2, SECOND)
    assert house.do(retention.dispose_due(2, Cursor.parse(done.after))) == DisposalCounts(1, 0, "")


def test_a_recording_that_the_finaliser_refuses_is_kept_and_tried_again(run, house, approved):
    retention = approved(BY_HAND, ONE_DAY)
    manifest = house.path(SECOND, "manifest")
    data = manifest.read_bytes()
    manifest.write_bytes(data.replace(b"caller", b"callee", 1))
    counts = house.do(retention.nightly())
    assert (counts.disposed, counts.failed) == (2, 1)
    assert headers(house) == [SECOND]
    manifest.write_bytes(data)
    assert run("retention", "run").out == "disposed of: 1, refused: 0\n"


class KilledError(Exception):
    """The desk ends here."""


def kill_in(house, patch, step):
    """Let the desk end before this step of the next disposal, or in "destroyed" after it."""
    archive = house.desk.archive
    request, append = archive.finaliser.request, house.desk.host.audit.append

    async def killed(*_):
        raise KilledError

    async def killed_after(*given):
        await request(*given)
        raise KilledError

    async def killed_at_the_end(kind, *given):
        if kind == "recording.purged":
            raise KilledError
        return await append(kind, *given)

    patch.setattr(
        *{
            "ordered": (archive.finaliser, "request", killed),
            "destroyed": (archive.finaliser, "request", killed_after),
            "numbered": (house.desk.calls.log.store, "forget_number_of", killed),
            "forgotten": (house.desk.host.audit, "append", killed_at_the_end),
            "entered": (archive.custodian, "disposed", killed),
        }[step]
    )


def test_a_disposal_that_ends_in_any_of_its_steps_is_completed_by_the_next_run(
    run, house, approved, monkeypatch
):
    """The steps are `Disposals.dispose`: order, destruction, number, audit entry, index."""
    steps = ("ordered", "destroyed", "numbered", "forgotten", "entered")
    calls = [*CALLS, *(f"20260301-10{minute:02}00-abcdefgh" for minute in range(2))]
    house.record(*calls[3:])
    retention = approved(BY_HAND, ONE_DAY)
    for step, call_id in zip(steps, calls, strict=True):
        with monkeypatch.context() as patch:
            kill_in(house, patch, step)
            with pytest.raises(KilledError):
                house.do(retention.dispose_due(1))
        is_destroyed = not house.path(call_id, "header").exists()
        assert is_destroyed == house.path(call_id, "disposal").exists() == (step != "ordered")
        house.restart()
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        retention = trust_clock(house)
        if is_destroyed:  # a legal hold comes too late
            facts = ("--reference", "R", "--reason", "a claim", "--review", "2099-01-01")
            assert run("holds", "open", call_id, *facts).status == 1
        assert house.do(retention.dispose_due(1)).disposed == 1
        assert not house.path(call_id, "header").exists()
        assert house.do(house.desk.archive.custodian.one(call_id)).disposed is not None
        purged = [facts for kind, facts in house.audit() if kind == "recording.purged"]
        assert call_id in {facts["call_id"] for facts in purged}
    assert house.do(retention.nightly()) == DisposalCounts(0, 0, "")
    assert run("audit", "verify").status == 0


def test_changed_rules_and_disposals_are_for_administrators_with_the_right(
    run, house, change, monkeypatch
):
    change(BY_HAND, ONE_DAY)
    monkeypatch.setenv("GALWAD_TOKEN", house.token("iolo", "admin"))
    for words in (("approve", "2", "--yes"), ("run",), ("confirm-clock", "--reason", "x")):
        done = run("retention", *words)
        assert (done.status, "needs the right `purge`" in done.err) == (1, True), words
    monkeypatch.setenv("GALWAD_TOKEN", house.token("mair", "supervisor"))
    assert run("retention", "plan").status == 1
