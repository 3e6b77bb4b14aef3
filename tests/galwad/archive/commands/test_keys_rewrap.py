"""`galwad keys rewrap` against a running desk and finaliser.

Covers `galwad/archive/headers.py` and `galwad/archive/desk_socket.py`.
"""

from __future__ import annotations

import asyncio
import hashlib

import httpx2
import pytest

from galwad.archive.commands import keys_rewrap
from helpers.house import House
from helpers.site import Site
from recording.age.file import Identity, open_header
from recording.archive.rewrap import rewrap
from recording.keys.keyring import OfficerKeys, RecipientSet, fingerprint
from recording.keys.signed_document import TRUST_FILE_NAME, sign_trust

CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(4)]
WHY = ("--reference", "KEYS-1")


@pytest.fixture
def house(tmp_path, run, monkeypatch):
    """Four recordings, sealed only to the officer, and gwen, the administrator, signed in."""
    del run  # it clears the environment first
    with House(Site(tmp_path / "node")) as house:
        house.record(*CALLS)
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token("gwen"))
        yield house


@pytest.fixture
def keys(house, tmp_path):
    """The officer's folder."""
    folder = tmp_path / "galwad-keys"
    folder.mkdir()
    house.site.officer.save(folder / "identity.txt")
    return folder


@pytest.fixture
def deputy(house):
    """A second identity, in the set that is in force now."""
    deputy = Identity.generate()
    sign(house, ("Officer", house.site.officer.identity.recipient), ("Deputy", deputy.recipient))
    return deputy


def sign(house, *named, serial=2):
    recipients = RecipientSet.of(named, serial)
    house.site.recipients.write_bytes(recipients.sign(house.site.officer.signing))


def header(house, call_id):
    return house.path(call_id, "header").read_bytes()


def commit(house, call_id, digest):
    """Commit a new header as `huw`, another administrator."""
    return httpx2.put(
        f"{house.url}/api/v1/recordings/{call_id}/header/commit",
        json={"sha256": digest, "reference": "x"},
        headers={"Authorization": f"Bearer {house.token('huw')}"},
    )


def test_rewrap_replaces_every_header_and_all_recordings_verify(run, house, keys, deputy):
    done = run("keys", "rewrap", keys, *WHY)
    assert done.status == 0, done.err
    assert "4 recordings: 4 rewrapped, 0 already" in done.out
    assert fingerprint(deputy.recipient) in done.out
    for call_id in CALLS:
        assert open_header(header(house, call_id), [deputy])
    archive = house.site.settings.archive
    verify = ("recordings", "verify", archive, "--node-key", archive / "galwad.pub")
    whole = run(*verify, "--officer-key", house.site.officer.public_key)
    assert whole.status == 0, whole.out
    assert whole.out.count(f"to set 2: {fingerprint(house.site.officer.identity.recipient)}") == 4
    unknown = run(*verify)
    assert unknown.status == 1
    by_identity = run(*verify, "--identity", keys / "identity.txt")
    assert by_identity.status == 0, by_identity.out
    assert "opened to its end" in by_identity.out


def test_a_manifest_of_a_node_that_the_trust_file_does_not_name_is_refused(
    run, house, keys, deputy
):
    stranger = OfficerKeys.generate().public_key
    (keys / TRUST_FILE_NAME).write_bytes(sign_trust([stranger], house.site.officer.signing))
    before = [header(house, call_id) for call_id in CALLS]
    done = run("keys", "rewrap", keys, *WHY)
    assert (done.status, done.out.count("NOT REWRAPPED: ")) == (1, 4), done.out
    assert [header(house, call_id) for call_id in CALLS] == before
    own = house.site.settings.archive / "galwad.pub"
    assert run("keys", "rewrap", keys, *WHY, "--node-key", own).status == 0


def test_fetching_and_replacing_a_header_are_audited(run, house, keys, deputy):
    before = header(house, CALLS[0])
    run("keys", "rewrap", keys, *WHY)
    entries = [
        (kind, facts)
        for kind, facts in house.audit()
        if kind.startswith("header") and facts.get("call_id") == CALLS[0]
    ]
    assert [kind for kind, _ in entries] == ["header.fetched", "header.replaced"]
    assert {facts["actor"] for _, facts in entries} == {"user:gwen"}
    assert {facts["reference"] for _, facts in entries} == {"KEYS-1"}
    assert before != header(house, CALLS[0])


def test_an_old_header_put_back_after_a_rewrap_is_found_by_audit_verify(run, house, keys, deputy):
    """The header is valid and the rewrap record is deleted: only the audit chain shows it."""
    archive = house.site.settings.archive
    before = header(house, CALLS[0])
    run("keys", "rewrap", keys, *WHY)
    digest = hashlib.sha256(header(house, CALLS[1])).hexdigest()
    assert commit(house, CALLS[1], digest).status_code == 204, "again, unheard the first time"
    assert run("audit", "verify", "--recordings", archive).status == 0
    house.path(CALLS[0], "header").write_bytes(before)
    house.path(CALLS[0], "rewrap").unlink()
    officer = ("--officer-key", house.site.officer.public_key)
    node = ("--node-key", archive / "galwad.pub")
    assert run("recordings", "verify", archive, *officer, *node).status == 0
    done = run("audit", "verify", "--recordings", archive)
    assert done.status == 1
    (line,) = [line for line in done.out.splitlines() if "header" in line]
    assert line.startswith(
        f"{CALLS[0]}: its header is from before a rewrap: run `galwad keys rewrap`"
    )
    assert "1 rewrapped, 3 already" in run("keys", "rewrap", keys, *WHY).out
    assert run("audit", "verify", "--recordings", archive).status == 0


def test_a_new_recipient_set_is_audited_when_it_comes_into_force(house, deputy):
    async def noted(serial):
        last = None
        while last is None or last.facts["serial"] != serial:
            last = await house.desk.host.audit.last("recipients.changed")
            await asyncio.sleep(0.01)

    house.restart()
    house.do(noted(2))
    facts = [facts for kind, facts in house.audit() if kind == "recipients.changed"]
    assert [each["serial"] for each in facts] == [1, 2]
    assert fingerprint(deputy.recipient) in facts[1]["recipients"]


def test_a_second_rewrap_handles_only_the_recordings_that_failed(
    run, house, keys, deputy, monkeypatch
):
    house.path(CALLS[2], "header").rename(house.path(CALLS[2], "away"))
    first = run("keys", "rewrap", keys, *WHY, "--json")
    assert first.status == 1
    assert first.json()["rewrapped"] == 3
    (failed,) = first.json()["failed"]
    assert failed == {"call_id": CALLS[2], "error": "the header or manifest is missing"}
    house.path(CALLS[2], "away").rename(house.path(CALLS[2], "header"))
    headers = [header(house, call_id) for call_id in CALLS]
    dry = run("keys", "rewrap", keys, *WHY, "--dry-run")
    assert "4 recordings: 1 to rewrap, 3 already" in dry.out
    second = run("keys", "rewrap", keys, *WHY, "--json").json()
    assert (second["already"], second["rewrapped"], second["failed"]) == (3, 1, [])
    changed = [header(house, call_id) != old for call_id, old in zip(CALLS, headers, strict=True)]
    assert changed == [False, False, True, False]


def test_an_interrupted_rewrap_says_so_and_continues_when_run_again(
    run, house, keys, deputy, monkeypatch
):
    made = rewrap

    def interrupted(manifest, *more):
        if manifest.call_id == CALLS[2]:
            raise KeyboardInterrupt
        return made(manifest, *more)

    with monkeypatch.context() as patch:
        patch.setattr(keys_rewrap, "rewrap", interrupted)
        done = run("keys", "rewrap", keys, *WHY)
    assert (done.status, done.out) == (130, "")
    assert done.err.startswith("error: interrupted\nhint: the command may have done its work")
    assert "4 recordings: 2 rewrapped, 2 already" in run("keys", "rewrap", keys, *WHY).out


def test_rewrap_without_the_finaliser_stops_and_changes_no_header(run, house, keys, deputy):
    house.do(house.desk.archive.socket.stop())
    before = [header(house, call_id) for call_id in CALLS]
    done = run("keys", "rewrap", keys, *WHY)
    assert done.status == 1
    assert "the finaliser cannot be reached: 0 of 4 are rewrapped" in done.err
    assert "hint: run the command again: it continues where it stopped; try again" in done.err
    assert [header(house, call_id) for call_id in CALLS] == before


def test_a_lost_reply_to_a_commit_is_not_audited_as_a_failure(
    run, house, keys, deputy, monkeypatch
):
    """The finaliser stops at that moment: the chain must show that the header was replaced."""
    before, finaliser = header(house, CALLS[0]), house.desk.archive.finaliser
    heard = finaliser.replied
    with monkeypatch.context() as patch:  # only the reply to a commit is empty
        patch.setattr(
            finaliser, "replied", lambda r: heard(r) if r.content else finaliser.fail_waiting()
        )
        done = run("keys", "rewrap", keys, *WHY)
    assert done.err.startswith(
        "error: the connection to the finaliser was lost: 0 of 4 are rewrapped\n"
    )
    assert header(house, CALLS[0]) != before
    assert "header.not-replaced" not in [kind for kind, _ in house.audit()]
    house.path(CALLS[0], "header").write_bytes(before)
    house.path(CALLS[0], "rewrap").unlink()
    put_back = run("audit", "verify", "--recordings", house.site.settings.archive)
    assert f"{CALLS[0]}: its header is from before a rewrap" in put_back.out


def test_recordings_disposed_of_during_a_rewrap_are_skipped(run, house, keys, deputy, monkeypatch):
    """Another administrator purges one after the listing, and two between fetch and commit."""
    headers = {"Authorization": f"Bearer {house.token('huw', 'admin', 'purge')}"}
    body = {"reason": "retention", "reference": "R-1"}

    def purge(call_id):
        path = f"/api/v1/recordings/{call_id}/purge"
        assert httpx2.post(house.url + path, json=body, headers=headers).status_code == 200

    def listed_then_purged(client, outcome):
        found = waiting(client, outcome)
        purge(CALLS[0])
        return found

    def made_then_purged(manifest, *more):
        if manifest.call_id in CALLS[1:3]:
            purge(manifest.call_id)
        return made(manifest, *more)

    waiting, made = keys_rewrap._waiting, rewrap
    monkeypatch.setattr(keys_rewrap, "_waiting", listed_then_purged)
    monkeypatch.setattr(keys_rewrap, "rewrap", made_then_purged)
    done = run("keys", "rewrap", keys, *WHY)
    assert (done.status, done.err) == (0, "")
    assert "1 recordings: 1 rewrapped, 0 already" in done.out
    assert [house.path(call_id, "header").exists() for call_id in CALLS] == [False] * 3 + [True]
    again = run("keys", "rewrap", keys, *WHY)
    assert "1 recordings: 0 rewrapped, 1 already" in again.out


def test_a_refused_commit_is_audited_and_keeps_the_old_header(house, deputy):
    before = header(house, CALLS[0])
    reply = commit(house, CALLS[0], "0" * 64)
    assert (reply.status_code, reply.json()["error"][:22]) == (409, "no new header is stage")
    assert [kind for kind, _ in house.audit()][-2:] == ["header.replaced", "header.not-replaced"]
    assert header(house, CALLS[0]) == before


def test_rewrap_without_a_recipient_set_on_the_server_is_refused(run, house, keys):
    house.site.recipients.unlink()
    done = run("keys", "rewrap", keys, *WHY)
    assert (done.status, done.err.splitlines()) == (
        1,
        [
            "error: the server has no signed recipient set",
            "hint: put the officer's signed set on the server",
        ],
    )


def test_rewrap_is_refused_if_the_servers_set_has_another_signer_or_serial(
    run, house, keys, deputy, tmp_path
):
    stranger = OfficerKeys.generate()
    stranger.save(tmp_path / "stranger.txt")
    done = run("keys", "rewrap", tmp_path / "stranger.txt", *WHY)
    assert done.status == 1
    assert done.err.startswith("error: cannot use the server's set: ")
    older = tmp_path / "older.json"
    one = RecipientSet.of([("Officer", house.site.officer.identity.recipient)], 1)
    older.write_bytes(one.sign(house.site.officer.signing))
    done = run("keys", "rewrap", keys, *WHY, "--set", older)
    assert done.err.startswith("error: the server's set, number 2, differs from --set\n")
    assert not any(house.path(call_id, "rewrap").exists() for call_id in CALLS)


def test_a_new_officer_rewraps_with_the_deputys_identity_after_a_lost_key(
    run, house, keys, deputy, tmp_path
):
    """After a rewrap the officer's keys are lost, and only the deputy's are left."""
    assert run("keys", "rewrap", keys, *WHY).status == 0
    lost = house.site.officer.public_key
    successor = OfficerKeys.generate()
    successor.save(tmp_path / "successor.txt")
    (tmp_path / "deputy.txt").write_text(f"{deputy}\n")
    (tmp_path / "deputy.txt").chmod(0o600)
    config = house.site.config
    config.write_text(config.read_text().replace(lost, successor.public_key))
    house.site.officer = successor
    named = ("--recipient", f"deputy={deputy.recipient}", "--serial", 3)
    output = ("-o", house.site.recipients, "--force")
    assert run("keys", "sign", tmp_path / "successor.txt", *named, *output).status == 0
    house.restart()
    words = ("keys", "rewrap", tmp_path / "successor.txt", "--identity", tmp_path / "deputy.txt")
    unknown = run(*words, *WHY, "--server", house.url)
    assert unknown.status == 1
    assert "signed by another officer's key" in unknown.out
    done = run(*words, *WHY, "--former-key", lost, "--server", house.url)
    assert done.status == 0, done.out + done.err
    for call_id in CALLS:
        assert open_header(header(house, call_id), [successor.identity])
    archive = house.site.settings.archive
    trusted = ("--officer-key", successor.public_key, "--node-key", archive / "galwad.pub")
    assert run("recordings", "verify", archive, *trusted).status == 0


@pytest.mark.usefixtures("deputy")
@pytest.mark.parametrize("role", ["supervisor", "advisor"])
def test_only_an_administrator_may_rewrap(run, house, keys, monkeypatch, role):
    monkeypatch.setenv("GALWAD_TOKEN", house.token("mair", role))
    done = run("keys", "rewrap", keys, *WHY)
    assert done.err.splitlines() == [
        "error: only the recording administrator may do this",
        "hint: ask an administrator to do it",
    ]


def test_an_identity_that_is_not_a_recipient_leaves_the_header_unchanged(
    run, house, deputy, tmp_path
):
    """The key file has the officer's signing key and an identity that is not a recipient."""
    other = OfficerKeys(Identity.generate(), house.site.officer.signing)
    other.save(tmp_path / "other.txt")
    done = run("keys", "rewrap", tmp_path / "other.txt", *WHY)
    assert done.status == 1
    assert done.out.count("NOT REWRAPPED: none of the identities opens this file") == 4
    assert done.err.startswith("error: 4 of 4 headers were not rewrapped\nhint: ")
