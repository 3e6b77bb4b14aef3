"""`galwad backup`: a lost server is restored, with the changes since the last backup.

Covers `galwad/archive/backup.py`, `galwad/archive/backup_proof.py` and
`galwad/administration.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import time

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from callerid.directories.embedded import EmbeddedDirectory
from callerid.number import PhoneNumber
from galwad.archive.backup_proof import INDEX, UNSIGNED, Description, sign
from galwad.people import totp
from galwad.people.second_factor import CodeVerdict
from galwad.people.user import User
from galwad.process_start import lock_folder
from helpers.cli import index_agrees
from helpers.file_sizes import run_with_small_files
from helpers.house import House
from helpers.root import as_root, galwad_as_root
from helpers.site import Site
from helpers.stored_databases import write_database
from recording.age.file import Identity, open_header
from recording.audit.chain import RESTORED
from recording.keys.keyring import RecipientSet, load_or_create_signing_key, public_text
from recording.keys.signed_document import canonical_json

CALLS = [f"20260301-09{minute:02}00-abcdefgh" for minute in range(4)]
WHY = ("--reason", "retention", "--reference", "R-1", "--yes")
CASE = ("--reference", "C-17", "--reason", "claim", "--review", "2099-01-01")


@pytest.fixture
def site(tmp_path):
    """A node with a confidential setting."""
    site = Site(tmp_path / "node")
    with site.config.open("a") as file:
        file.write('[[trunks]]\nname = "secret-trunk"\npeers = ["192.0.2.7:5060"]\n')
    return site


@pytest.fixture
def signed_in(run, monkeypatch):
    """Sign in as an administrator of a house, by a name that is new there."""
    del run  # it clears the environment first

    def signed_in(house, name="gwen"):
        monkeypatch.setenv("GALWAD_SERVER", house.url)
        monkeypatch.setenv("GALWAD_TOKEN", house.token(name, "admin", "purge"))

    return signed_in


def lose(site, tmp_path, *also):
    """Delete the server's folders; keep only a file copy of payloads and disposal certificates."""
    archive = site.settings.archive
    copy = tmp_path / "rsync"
    copy.mkdir()
    for path in archive.rglob("*"):
        if path.suffix in {".payload", ".disposal", *also}:
            to = copy / path.relative_to(archive)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)
    for folder in ("archive", "desk", "finaliser", "keys"):
        shutil.rmtree(site.root / "state" / folder)
    shutil.copytree(copy, archive)


def test_a_restore_repeats_the_disposals_of_a_night(run, site, signed_in, tmp_path):
    """The certificate names the rule; the header is in a backup from before the night."""
    keep, period = 'keep = "by hand"', 'keep = "1 day"\ncounted_from = "call"'
    backup, config = tmp_path / "backup", ("--config", site.config)
    site.config.write_text(site.config.read_text().replace(keep, period))
    with House(site) as house:
        signed_in(house)
        house.record(*CALLS[:2])
        assert run("backup", "make", backup, *config).status == 0
        retention = house.desk.archive.retention
        assert run("holds", "open", CALLS[1], *CASE).status == 0
        assert run("retention", "confirm-clock", "--reason", "a test").status == 0
        counts = house.do(retention.nightly())
        assert (counts.disposed, counts.failed, counts.waits) == (1, 0, "")
    lose(site, tmp_path)
    done = run("backup", "restore", backup, *config, "--json")
    assert done.status == 0, done.err
    assert (done.json()["disposals"], done.json()["headers"]) == (1, 1)
    with House(site) as house:
        signed_in(house, "huw")
        assert not house.path(CALLS[0], "header").exists()
        assert house.path(CALLS[1], "header").exists()
        rows = run("recordings", "list", "--json").json()["rows"]
        assert {row["call_id"]: row["custody"] for row in rows}[CALLS[0]] == "disposed"
        # The backup does not have the legal hold, so the server waits for a person.
        retention = house.desk.archive.retention
        assert "legal holds may be missing" in house.do(retention.nightly()).waits
        assert run("holds", "open", CALLS[1], *CASE).status == 0
        assert run("retention", "confirm-clock", "--reason", "a test").status == 0
        assert house.do(retention.nightly()).waits == ""
        assert house.path(CALLS[1], "header").exists()


def test_a_restored_server_keeps_its_recordings_disposals_and_tokens(
    run, site, signed_in, tmp_path
):
    backup, config = tmp_path / "backup", ("--config", site.config)
    with House(site) as house:
        signed_in(house)
        house.record(*CALLS[:3])
        machine = house.token("pay", "machine", "payments")
        assert run("recordings", "purge", CALLS[0], *WHY).status == 0
        made = run("backup", "make", backup, *config)
        assert made.status == 0, made.err
        assert "3 recordings, 2 headers" in made.out
        assert run("recordings", "purge", CALLS[1], *WHY).status == 0
        house.record(CALLS[3])
    lose(site, tmp_path)
    done = run("backup", "restore", backup, *config, "--json")
    assert done.status == 0, done.err
    assert done.json()["headers"] == 1
    assert (done.json()["disposals"], done.json()["destroyed"]) == (2, [])
    with House(site) as house:
        signed_in(house, "huw")
        key = site.settings.archive / "galwad.pub"
        verified = run("recordings", "verify", site.settings.archive, "--node-key", key).out
        assert [line.split("  ")[1].split()[0] for line in verified.splitlines()[:-1]] == [
            "disposed",
            "disposed",
            "whole",
            "NOT",  # it is newer than the backup: only its payload was copied
        ]
        states = [row["custody"] for row in run("recordings", "list", "--json").json()["rows"]]
        assert sorted(states) == ["", "disposed", "disposed"]
        assert open_header(house.path(CALLS[2], "header").read_bytes(), [site.officer.identity])
        assert (
            run(
                "recordings",
                "fetch",
                CALLS[1],
                "--sealed",
                "--purpose",
                "complaint",
                "--reference",
                "C",
            ).status
            == 1
        )
        kinds = [kind for kind, _ in house.audit()]
        assert kinds[-4:].count("disposal.replayed") == 1
        assert "backup.restored" in kinds
        assert house.do(house.desk.people.sessions.find(machine)) is not None


PEOPLE = "reference,name,numbers\nP1,Mair Evans,01970 000001\n"


@pytest.fixture
def people(run, site):
    """A node whose directory has one person."""
    file = site.root / "people.csv"
    file.write_text(PEOPLE)
    assert run("directory", "import", file, "--config", site.config).status == 0
    return site.settings.directory_file


def content_of(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def test_a_restored_server_has_the_directory_of_the_backup(run, site, people, tmp_path):
    backup, config = tmp_path / "backup", ("--config", site.config)
    assert run("backup", "make", backup, *config).status == 0
    assert (backup / "directory.db").stat().st_mode & 0o777 == 0o600
    before = content_of(people)
    shutil.rmtree(people.parent)
    done = run("backup", "restore", backup, *config)
    assert done.status == 0, done.err
    assert content_of(people) == before
    found = EmbeddedDirectory(people).find(PhoneNumber("+441970000001"))
    [person] = asyncio.run(found)
    assert (person.person_id, person.name) == ("directory:1", "Mair Evans")


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"")])
def test_a_backup_whose_directory_is_damaged_is_refused(run, site, people, tmp_path, damage):
    backup, config = tmp_path / "backup", ("--config", site.config)
    assert run("backup", "make", backup, *config).status == 0
    shutil.rmtree(people.parent)
    damage(backup / "directory.db")
    refused = run("backup", "restore", backup, *config)
    assert refused.status == 1
    assert "error: the backup's directory was changed or is missing" in refused.err
    assert not site.settings.database.exists()


def test_a_damaged_directory_is_not_backed_up(run, site, people, tmp_path):
    people.write_bytes(b"no database" * 99)
    refused = run("backup", "make", tmp_path / "backup", "--config", site.config)
    assert refused.status == 1
    assert "error: cannot copy the directory to" in refused.err
    assert "file is not a database" in refused.err


def test_recordings_newer_than_the_backup_are_reported_as_orphans_and_reindexed(
    run, site, signed_in, tmp_path
):
    backup, config = tmp_path / "backup", ("--config", site.config)
    with House(site) as house:
        signed_in(house)
        house.record(*CALLS[:2])
        assert run("backup", "make", backup, *config).status == 0
        house.record(*CALLS[2:])
        assert run("recordings", "purge", CALLS[3], *WHY).status == 0
    lose(site, tmp_path, ".manifest", ".header")
    restored = run("backup", "restore", backup, *config, "--json").json()["audit"]["hash"]
    against = ("--restored", restored, "--recordings", site.settings.archive)
    with House(site) as house:
        signed_in(house, "huw")
        for path in site.settings.archive.rglob("*.*"):
            os.utime(path, (1_772_355_600, 1_772_355_600))  # rsync -a keeps the old times
        told = run("calls", "coverage", "--json").json()["orphans"]
        assert [(each["kind"], each["call_id"]) for each in told] == [
            ("files without row", CALLS[2]),
            ("files without row", CALLS[3]),
        ]
        assert all("`galwad recordings reindex`" in each["fix"] for each in told)
        unknown = run("audit", "verify", *against, "--json").json()["notes"][1:]
        sealed_just_now = "it exists, but was never indexed"
        for call, text in zip(CALLS[2:], unknown, strict=True):
            assert text.startswith(f"{call}: {sealed_just_now}")
        done = run("recordings", "reindex", "--reference", "RESTORE-1")
        assert done.status == 0, done.out
        assert run("audit", "verify", *against).status == 0
        assert run("calls", "coverage", "--json").json()["orphans"] == []
        rows = run("recordings", "list", "--json").json()["rows"]
        assert {row["call_id"]: (row["named"], row["custody"]) for row in rows} == {
            CALLS[0]: (True, ""),
            CALLS[1]: (True, ""),
            CALLS[2]: (False, ""),
            CALLS[3]: (False, "disposed"),
        }


def test_audit_verify_reports_the_restore_and_accepts_it_with_the_restored_option(
    run, site, signed_in, tmp_path
):
    backup, config = tmp_path / "backup", ("--config", site.config)
    anchors = ("--anchors", tmp_path / "anchors.jsonl")
    with House(site) as house:
        signed_in(house)
        assert run("backup", "make", backup, *config).status == 0
        house.record(CALLS[0])
        assert run("audit", "anchor", "-o", anchors[1]).status == 0
    noted = json.loads(anchors[1].read_text())
    earlier = json.dumps({**noted, "at": "2026-01-01T00:00:00Z"})
    lose(site, tmp_path)
    done = run("backup", "restore", backup, *config)
    seq, restored = done.out.partition("audit: entry ")[2].splitlines()[0].split(", ")
    assert f"galwad audit verify --restored {restored}" in done.out
    with House(site) as house:
        signed_in(house, "huw")
        house.record(*CALLS[1:])
        assert run("audit", "anchor", "-o", tmp_path / "new.jsonl").status == 0
        anchors[1].write_text(f"{earlier}\n" + (tmp_path / "new.jsonl").read_text())
        found = run("audit", "verify", *anchors, "--json").json()["problems"]
        assert f"entry {int(seq) - 1}: the day key before it did not sign it" in found
        assert any("an anchor kept elsewhere" in each for each in found)
        done = run("audit", "verify", *anchors, "--restored", restored)
        assert done.status == 0, done.out
        assert done.out.startswith(f"entry {seq}: restored from the backup of 20")
        assert run("audit", "verify", "--restored", "0" * 64).err.startswith(
            f"error: no restore in the chain has the hash {'0' * 64}\n"
        )


def test_the_restored_option_excuses_no_later_break_of_the_chain(run, site, signed_in, tmp_path):
    """A later unsigned day key and a later anchor with another hash are still reported."""
    backup, config = tmp_path / "backup", ("--config", site.config)
    with House(site) as house:
        signed_in(house)
        assert run("backup", "make", backup, *config).status == 0
    lose(site, tmp_path)
    done = run("backup", "restore", backup, *config, "--json").json()["audit"]
    (site.settings.database.parent / "audit.key").unlink()
    with House(site) as house:
        signed_in(house, "huw")
        house.record(CALLS[0])
        assert run("audit", "anchor", "-o", tmp_path / "anchors.jsonl").status == 0
        anchor = json.loads((tmp_path / "anchors.jsonl").read_text())
        (tmp_path / "anchors.jsonl").write_text(json.dumps({**anchor, "hash": "a" * 64}))
        asked = ("--restored", done["hash"], "--anchors", tmp_path / "anchors.jsonl", "--json")
        assert run("audit", "verify", *asked).json()["problems"] == [
            f"entry {done['seq'] + 1}: the day key before it did not sign it",
            f"entry {anchor['seq']}: an anchor kept elsewhere has another hash",
        ]


def test_users_must_sign_in_again_after_a_restore(run, site, signed_in, tmp_path):
    backup, config = tmp_path / "backup", ("--config", site.config)
    with House(site) as house:
        signed_in(house)
        assert run("backup", "make", backup, *config).status == 0
    lose(site, tmp_path)
    assert run("backup", "restore", backup, *config).status == 0
    with House(site) as house:
        done = run("recordings", "list", "--server", house.url)
        assert done.err.startswith("error: you are not signed in\n")


async def set_up_second_factor(desk):
    """Set up the second factor of sian; return its secret and the recovery codes."""
    await desk.people.users.add(User("sian", "advisor"), "correct horse battery")
    session = await desk.people.sessions.find(await desk.people.sessions.open("sian", "page"))
    secret = desk.people.second_factors.begin(session)
    code = totp.code_of(secret, totp.step_at(time.time()))
    return secret, await desk.people.second_factors.confirm(session, code)


def test_a_backup_has_neither_the_secret_of_a_second_factor_nor_its_key(run, site, tmp_path):
    backup, config = tmp_path / "backup", ("--config", site.config)
    key_file = site.settings.database.with_name("second-factor.key")
    with House(site) as house:
        secret, codes = house.do(set_up_second_factor(house.desk))
        key = key_file.read_bytes()
        assert run("backup", "make", backup, *config).status == 0
    content = b"".join(path.read_bytes() for path in backup.rglob("*") if path.is_file())
    assert key not in content
    assert secret not in content
    assert totp.text_of(secret).encode() not in content
    lose(site, tmp_path)
    done = run("backup", "restore", backup, *config)
    assert done.status == 0, done.err
    assert not key_file.exists()
    with House(site) as house:
        code = totp.code_of(secret, totp.step_at(time.time()) + 1)
        factors = house.desk.people.second_factors
        assert house.do(factors.check("sian", code)) is CodeVerdict.UNREADABLE
        assert house.do(factors.check("sian", codes[0])) is CodeVerdict.RECOVERY


def test_a_backup_lists_the_names_of_settings_without_their_values(run, site, signed_in, tmp_path):
    backup = tmp_path / "backup"
    with House(site) as house:
        signed_in(house)
        house.record(CALLS[0])
        run("backup", "make", backup, "--config", site.config)
        head = house.do(house.desk.host.audit.last("backup.made"))
    described = json.loads((backup / "backup.json").read_text())["backup"]
    assert described["settings"] == [
        "node.runtime",
        "node.state",
        "recording.officer_key",
        "retention.category",
        "retention.keep",
        "sip.listen",
        "trunks.name",
        "trunks.peers",
    ]
    everything = (backup / "backup.json").read_text()
    assert "secret-trunk" not in everything
    assert described["audit"]["seq"] == head.seq
    assert backup.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in backup.iterdir()}
    assert (modes["manifest.key"], modes["galwad.db"]) == (0o600, 0o600)
    assert sorted(modes) == [
        "SHA256SUMS",
        "archive",
        "backup.json",
        "galwad.db",
        "manifest.key",
        "recipients.json",
    ]
    with contextlib.closing(sqlite3.connect(backup / "galwad.db")) as connection:
        assert connection.execute("SELECT count(*) FROM recordings").fetchone() == (1,)


def test_a_rewrap_lost_in_a_restore_is_repeated_by_the_next_run(run, site, signed_in, tmp_path):
    """The restored header is from before the rewrap; the officer's next run replaces it."""
    backup, config = tmp_path / "backup", ("--config", site.config)
    keys = tmp_path / "identity.txt"
    site.officer.save(keys)
    deputy = Identity.generate()
    named = ("Officer", site.officer.identity.recipient), ("Deputy", deputy.recipient)
    with House(site) as house:
        signed_in(house)
        house.record(CALLS[0])
        run("backup", "make", backup, *config)
        signed = RecipientSet.of(named, 2).sign(site.officer.signing)
        site.recipients.write_bytes(signed)
        assert run("keys", "rewrap", keys, "--reference", "K").status == 0
    lose(site, tmp_path)
    assert run("backup", "restore", backup, *config).status == 0
    site.recipients.write_bytes(signed)
    with House(site) as house:
        signed_in(house, "huw")
        done = run("keys", "rewrap", keys, "--reference", "K")
        assert done.status == 0, done.out
        assert open_header(house.path(CALLS[0], "header").read_bytes(), [deputy])
        assert index_agrees(run("recordings", "verify", CALLS[0]))


@pytest.fixture
def backup(run, site, tmp_path):
    """A backup of a node with one recording, whose server is lost."""
    with House(site) as house:
        house.record(CALLS[0])
        house.token("mair", "admin")
        assert run("backup", "make", tmp_path / "backup", "--config", site.config).status == 0
    lose(site, tmp_path)
    return tmp_path / "backup"


def refused(run, site, backup, text, *options):
    done = run("backup", "restore", backup, "--config", site.config, *options)
    assert done.status == 1
    assert text in done.err
    assert not site.settings.database.exists()


def test_a_foreign_damaged_or_unfinished_backup_is_refused(run, site, backup):
    described = backup / INDEX
    right = described.read_bytes()
    described.write_bytes(right.replace(b'"node":"galwad"', b'"node":"another"'))
    refused(run, site, backup, "its signature is wrong")
    described.write_text("{")
    refused(run, site, backup, "the backup is malformed")
    described.unlink()
    refused(run, site, backup, "is not a finished backup")
    refused(run, site, backup / "none", "is not a finished backup")
    described.write_bytes(right)
    with (backup / "galwad.db").open("ab") as file:
        file.write(b"x")
    refused(run, site, backup, "the backup's database was changed or is not complete")


def test_a_signed_backup_of_another_node_or_with_a_damaged_key_is_refused(run, site, backup):
    key = load_or_create_signing_key(site.config.with_name("backup.key"))
    description = msgspec.convert(json.loads((backup / INDEX).read_text())["backup"], Description)
    for name in (INDEX, "SHA256SUMS"):
        (backup / name).unlink()
    sign(backup, msgspec.structs.replace(description, node="another"), key)
    refused(run, site, backup, "error: the backup is from the node another\n")
    (backup / "manifest.key").write_bytes((backup / "manifest.key").read_bytes()[:31])
    for name in (INDEX, "SHA256SUMS"):
        (backup / name).unlink()
    sign(backup, description, key)
    refused(run, site, backup, "the backup's signing key is damaged")


def plant_admin(backup):
    """Add an administrator to the backup's database, and correct all digests and names."""
    with contextlib.closing(sqlite3.connect(backup / "galwad.db")) as connection, connection:
        connection.execute(
            "INSERT INTO users (name, role, language, password, ha1_md5, ha1_sha256, rights, "
            "disabled, created) VALUES ('eve', 'admin', 'en', '!', '', '', 'purge', 0, 0)"
        )
    line = json.loads((backup / INDEX).read_text())
    digest = hashlib.sha256((backup / "galwad.db").read_bytes()).hexdigest()
    (backup / INDEX).unlink()
    (backup / "SHA256SUMS").unlink()
    description = msgspec.convert({**line["backup"], "database_sha256": digest}, Description)
    sign(backup, description, Ed25519PrivateKey.generate())
    return line


def test_an_administrator_planted_in_a_stored_backup_is_not_restored(run, site, backup):
    before = plant_admin(backup)
    refused(run, site, backup, "is signed by another server's key")
    made = json.loads((backup / INDEX).read_text())
    forged = {**made, "key": before["key"]}
    (backup / INDEX).write_bytes(canonical_json(forged) + b"\n")
    refused(run, site, backup, "its signature is wrong")
    (backup / INDEX).write_bytes(canonical_json(made["backup"] | {"format": UNSIGNED}))
    refused(run, site, backup, "error: the backup has no signature")
    assert not site.settings.archive.joinpath("2026/03/01", f"{CALLS[0]}.manifest").exists()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: next(folder.rglob("*.header")).write_bytes(b"x"), "header was changed"),
        (lambda folder: next(folder.rglob("*.manifest")).unlink(), "manifest is missing"),
        (lambda folder: (folder / "archive" / "x.pub").touch(), "x.pub is not in the list"),
        (lambda folder: (folder / "recipients.json").unlink(), "recipients.json is missing"),
        (lambda folder: (folder / "galwad.db").unlink(), "is not a finished backup"),
        (lambda folder: folder.chmod(0o777), "another user can change"),
        (
            lambda folder: (folder / "archive" / "more").symlink_to("/etc"),
            "more is not a plain file or folder",
        ),
    ],
)
def test_a_backup_with_a_changed_file_is_refused_before_anything_is_written(
    run, site, backup, change, text
):
    before = sorted(site.root.rglob("*"))
    change(backup)
    refused(run, site, backup, text)
    assert sorted(site.root.rglob("*")) == before


def test_a_machine_without_the_backup_key_restores_only_with_the_right_public_key(
    run, site, backup, tmp_path
):
    made = run("backup", "make", tmp_path / "next", "--config", site.config)
    assert made.status == 1  # the server has lost its database
    key_file = site.config.with_name("backup.key")
    public = public_text(load_or_create_signing_key(key_file).public_key())
    key_file.unlink()
    refused(run, site, backup, "hint: add --backup-key with the public key")
    wrong = public_text(Ed25519PrivateKey.generate().public_key())
    refused(run, site, backup, "is signed by another", "--backup-key", wrong)
    load_or_create_signing_key(key_file)  # as the next backup would
    refused(run, site, backup, "hint: if an earlier backup key signed it, add --backup-key")
    key_file.unlink()
    command = ("backup", "restore", backup, "--config", site.config, "--backup-key", public)
    done = run(*command)
    assert done.status == 0, done.err
    assert "administrators: mair\n" in done.out
    assert not key_file.exists()


def test_an_unsigned_backup_is_restored_only_with_the_unsigned_option(run, site, backup):
    described = json.loads((backup / INDEX).read_text())["backup"]
    del described["checksums_sha256"]
    (backup / INDEX).write_text(json.dumps({**described, "format": UNSIGNED}))
    (backup / "SHA256SUMS").unlink()
    refused(run, site, backup, "error: the backup has no signature")
    done = run("backup", "restore", backup, "--config", site.config, "--unsigned")
    assert done.status == 0, done.err


def test_the_database_in_a_backup_of_2026_11_26_is_upgraded(run, site, backup):
    """Such a backup has no signature, and the people are in the database."""
    write_database("0005", backup / "galwad.db")
    described = json.loads((backup / INDEX).read_text())["backup"]
    for later in ("checksums_sha256", "directory_sha256"):
        described.pop(later, None)
    described["database_sha256"] = hashlib.sha256((backup / "galwad.db").read_bytes()).hexdigest()
    (backup / INDEX).write_text(json.dumps({**described, "format": UNSIGNED}))
    (backup / "SHA256SUMS").unlink()
    done = run("backup", "restore", backup, "--config", site.config, "--unsigned")
    assert done.status == 0, done.err
    listed = run("users", "list", "--config", site.config)
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == ["gwen", "sian"]
    found = EmbeddedDirectory(site.settings.directory_file).find(PhoneNumber("+441632960001"))
    assert [person.name for person in asyncio.run(found)] == ["Ann Example"]


def test_backup_make_prints_the_public_half_of_the_key_that_signs(run, site, signed_in, tmp_path):
    with House(site) as house:
        signed_in(house)
        done = run("backup", "make", tmp_path / "one", "--config", site.config)
        again = run("backup", "make", tmp_path / "two", "--config", site.config, "--json")
    key = json.loads((tmp_path / "one" / INDEX).read_text())["key"]
    assert f"backup key: {key}\n" in done.out
    assert again.json()["backup_key"] == key
    assert site.config.with_name("backup.key").stat().st_mode & 0o777 == 0o600
    content = site.config.with_name("backup.key").read_bytes()
    for path in (tmp_path / "one").rglob("*"):
        assert not path.is_file() or content not in path.read_bytes()


SECRET = b"root:$6$only-root-may-read-this"


@pytest.fixture
def secret(tmp_path):
    """A file that only root may read, in a folder that only root may write to."""
    path = tmp_path / "root" / "shadow"
    path.parent.mkdir()
    path.write_bytes(SECRET)
    path.chmod(0o600)
    as_root("chown", "0", str(path), str(path.parent))
    return path


@pytest.mark.parametrize("kind", ["header", "manifest", "key", "recipients", "database", "folder"])
def test_a_backup_copies_no_file_of_root_through_a_link_that_the_service_made(
    site, tmp_path, secret, kind
):
    with House(site) as house:
        house.record(CALLS[0])
    state = site.root / "state"
    recording = state / "archive" / "2026" / "03" / "01" / CALLS[0]
    planted = {
        "header": recording.with_name(f"{CALLS[0]}.header"),
        "manifest": recording.with_name(f"{CALLS[0]}.manifest"),
        "key": state / "finaliser" / "manifest.key",
        "recipients": site.recipients,
        "database": site.settings.database,
        "folder": state / "archive" / "2026",
    }[kind]
    planted.rename(planted.with_name("away"))
    target = secret
    if kind == "folder":
        target = secret.parent
        (target / "03" / "01").mkdir(parents=True)
        (target / "03" / "01" / f"{CALLS[0]}.header").write_bytes(SECRET)
    planted.symlink_to(target)
    as_root("chown", "-hR", "65534:65534", *(str(each) for each in state.iterdir()))
    done = galwad_as_root("backup", "make", tmp_path / "backup", "--config", site.config)
    as_root("chmod", "-R", "a+rX", str(tmp_path))
    leaked = [
        p for p in (tmp_path / "backup").rglob("*") if p.is_file() and SECRET in p.read_bytes()
    ]
    assert leaked == []
    assert secret.read_bytes() == SECRET
    if kind != "folder":  # which has then no recording at all
        assert done.returncode == 1, done.stdout
        assert "link that another user made" in done.stderr
        assert not (tmp_path / "backup" / INDEX).exists()


@pytest.mark.parametrize(
    "place", ["archive/2026", "desk/.directory.db.restoring", "desk", "finaliser"]
)
def test_a_restore_writes_nothing_through_a_link_that_the_service_made(
    site, backup, secret, tmp_path, place
):
    state = site.root / "state"
    for name in ("archive", "desk", "finaliser"):
        (state / name).mkdir(exist_ok=True)
    link = state / place
    if link.is_dir():
        shutil.rmtree(link)
    link.symlink_to(secret.parent)
    owned = [state / name for name in ("archive", "desk", "finaliser", "spool")]
    as_root("chown", "-hR", "65534:65534", *map(str, owned))
    done = galwad_as_root("backup", "restore", backup, "--config", site.config)
    as_root("chmod", "-R", "a+rX", str(tmp_path))
    assert [path.name for path in secret.parent.rglob("*")] == ["shadow"]
    assert secret.parent.stat().st_uid == secret.stat().st_uid == 0
    assert secret.read_bytes() == SECRET
    if place != "desk/.directory.db.restoring":  # which a restore without a directory never uses
        assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr


def test_backup_and_restore_refuse_existing_files_and_folders_that_others_own_or_use(
    run, site, backup, tmp_path
):
    again = run("backup", "make", backup, "--config", site.config)
    assert again.err.startswith(f"error: {backup} is not empty\n")
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    as_root("chown", "12345", str(theirs))
    again = run("backup", "make", theirs, "--config", site.config)
    assert again.err.startswith(f"error: {theirs} belongs to another user, who could read it\n")
    (site.root / "state" / "finaliser").mkdir()
    (site.root / "state" / "finaliser" / "manifest.key").write_bytes(bytes(range(32)))
    refused(run, site, backup, "the node's signing key is not that of the backup")
    (site.root / "state" / "finaliser" / "manifest.key").unlink()
    config = ("--config", site.config)
    assert run("backup", "restore", backup, *config).status == 0
    assert (
        run("users", "add", "huw", "--role", "machine", "--right", "metrics", *config).status == 0
    )
    done = run("backup", "restore", backup, *config)
    assert "exists already" in done.err
    shared = tmp_path / "shared"
    shared.mkdir()
    with lock_folder(shared):
        again = run("backup", "make", shared, "--config", site.config)
    assert again.err.startswith(f"error: another backup uses {shared} now\n")
    assert list(shared.iterdir()) == []
    nowhere = run("backup", "restore", backup, *config, "--certificates", tmp_path / "none")
    assert nowhere.status == 2


@pytest.mark.parametrize("name", ["archive", "archive/2026/backup", "spool/backup", "spare"])
def test_a_backup_inside_a_folder_of_recordings_is_refused(run, site, name):
    folder = site.root / "state" / name
    done = run("backup", "make", folder, "--config", site.config)
    assert done.status == 1
    assert done.err.startswith(
        f"error: {folder} is inside {site.root / 'state' / name.split('/')[0]}\n"
    )
    assert not (folder / "backup.json").exists()


@pytest.mark.parametrize("name", ["switch", "desk", "finaliser"])
def test_restore_is_refused_while_a_galwad_process_runs(run, site, backup, name):
    folder = site.root / "state" / name
    folder.mkdir(exist_ok=True)
    with lock_folder(folder):
        refused(run, site, backup, f"error: another process is at work in {folder}\n")


def test_a_restore_with_the_officers_certificates_omits_the_headers_of_disposed_recordings(
    run, site, signed_in, tmp_path
):
    """`purge -o` wrote them under other names; rsync had not copied those of the archive."""
    backup, config = tmp_path / "backup", ("--config", site.config)
    kept = tmp_path / "certificates"
    kept.mkdir()
    with House(site) as house:
        signed_in(house)
        house.record(CALLS[0])
        assert run("backup", "make", backup, *config).status == 0
        out = ("-o", kept / "certificate.json")
        assert run("recordings", "purge", CALLS[0], *WHY, *out).status == 0
    lose(site, tmp_path)
    shutil.rmtree(next(site.settings.archive.glob("2*")))
    done = run("backup", "restore", backup, *config, "--certificates", kept)
    assert done.out.startswith("restored the backup of 20"), done.err
    assert "disposed of: 1, of which destroyed again: 0" in done.out
    assert not list(site.settings.archive.rglob("*.header"))


def test_a_certificates_folder_without_a_certificate_is_refused(run, site, backup, tmp_path):
    empty = tmp_path / "certificates"
    empty.mkdir()
    (empty / "anchors.jsonl").write_text("{}")
    text = f"error: there is no disposal certificate in {empty}\n"
    refused(run, site, backup, text, "--certificates", empty)


def test_restored_files_belong_to_the_services_user(run, site, backup):
    """The state folders are systemd's links, and a folder behind one may have been deleted."""
    state, private = site.root / "state", site.root / "private"
    other, service = (1234, 4321) if os.geteuid() == 0 else (os.getuid(), os.getuid())
    for name in ("archive", "desk", "finaliser", "spool"):
        (private / name).mkdir(parents=True)
        if name != "archive":
            shutil.rmtree(state / name, ignore_errors=True)
            (state / name).symlink_to(private / name)
    for path in (site.settings.archive, *site.settings.archive.rglob("*")):
        os.chown(path, other, -1)
    (private / "desk").rmdir()
    for name in ("finaliser", "spool"):
        os.chown(private / name, service, -1)
    assert run("backup", "restore", backup, "--config", site.config).status == 0
    places = (state / "archive", private / "desk", private / "finaliser")
    files = [path for place in places for path in (place, *place.rglob("*"))]
    assert len(files) > 10
    assert {path.stat().st_uid for path in files} == {service}


def test_missing_headers_of_a_backup_are_reported_and_a_second_restore_adds_them(
    run, site, backup, tmp_path
):
    (lost,) = (backup / "archive").rglob("*.header")
    lost.rename(tmp_path / "whole")
    command = ("backup", "restore", backup, "--config", site.config)
    done = run(*command)
    assert (done.status, "MISSING: 1 of the 1 headers" in done.out) == (1, True)
    assert done.err.startswith("error: 1 headers are missing from the backup")
    (tmp_path / "whole").rename(lost)
    again = run(*command, "--json")
    assert (again.status, again.json()["headers"], again.json()["missing"]) == (0, 1, 0)
    key = site.settings.archive / "galwad.pub"
    assert run("recordings", "verify", site.settings.archive, "--node-key", key).status == 0


def test_a_backup_to_a_full_disk_fails_and_cannot_be_restored(run, site, backup, tmp_path):
    assert run("backup", "restore", backup, "--config", site.config).status == 0
    done = run_with_small_files(200, "backup", "make", tmp_path / "next", "--config", site.config)
    assert done.returncode == 1
    assert "cannot copy the database to" in done.stderr
    assert run("backup", "restore", tmp_path / "next", "--config", site.config).status == 1


def test_a_restore_that_failed_on_a_full_disk_succeeds_when_run_again(
    run, site, backup, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("galwad.archive.backup.upgrade", full)
        refused(run, site, backup, f"error: {site.root / 'state'}: no space left on device\n")
    for ending in ("-wal", "-shm"):
        (site.root / "state" / "desk" / f".galwad.db.restoring{ending}").write_bytes(b"junk")
    assert run("backup", "restore", backup, "--config", site.config).status == 0
    key = site.settings.archive / "galwad.pub"
    assert run("recordings", "verify", site.settings.archive, "--node-key", key).status == 0


def test_a_restore_interrupted_before_it_prints_the_audit_hash_prints_the_hash_when_run_again(
    run, site, backup, monkeypatch
):
    """The database has its name, but the hash was not printed."""

    def killed(*_):
        raise KeyboardInterrupt

    command = ("backup", "restore", backup, "--config", site.config)
    with monkeypatch.context() as patch:
        patch.setattr("galwad.archive.backup.administrators", killed)
        assert run(*command).status == 130
    told = run(*command, "--json").json()["audit"]
    with contextlib.closing(sqlite3.connect(site.settings.database)) as connection:
        rows = connection.execute("SELECT seq, hash FROM audit_entries WHERE kind = ?", (RESTORED,))
        assert rows.fetchall() == [(told["seq"], told["hash"])]
    assert run(*command, "--json").json()["audit"] == told


def test_an_invalid_disposal_certificate_is_reported_and_destroys_nothing(run, site, backup):
    folder = site.settings.archive / "2026" / "03" / "01"
    (folder / f"{CALLS[0]}.disposal").write_bytes(b"{}")
    done = run("backup", "restore", backup, "--config", site.config)
    assert done.status == 1
    assert "NOT ACCEPTED: " in done.out
    assert (folder / f"{CALLS[0]}.header").exists()
