"""`galwad evidence`: a recipient opens the pack and checks it with stock tools.

Covers `galwad/archive/commands/evidence_pack.py`, `galwad/archive/commands/evidence_letter.py` and
`galwad/archive/evidence.py`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import bagit
import numpy as np
import pyrage
import pytest
import soundfile

from galwad.cli.support.client import ask as real_ask
from galwad.cli.support.console import CliError
from helpers.house import House
from helpers.site import NUMBER, Site
from recording.age.file import Identity, Recipient
from recording.keys.signed_document import sign_trust

pytestmark = pytest.mark.peer  # age, flac, and the libraries of WeasyPrint
CALL = "20260301-090000-abcdefgh"
RATE = 8000
SECONDS = 4
WHY = ("--purpose", "complaint", "--reference", "C-1024")
SILENCE = ("--silence", "advisor 2.5-3", "--silence", "0:03.25-0:03.5", "--why", "another customer")
SAID = (
    "the same recording",
    "every sample is there",
    "the same samples",
    "the audit has the manifest",
)


def record(house: House) -> None:
    """Record a call of four seconds, with a payment pause in the second one."""
    writer = house.site.writer(CALL)
    writer.event("call", {"number": NUMBER, "withheld": False, "line": "Council Tax"}, 0)
    writer.event("answered", {"advisor": "sian", "extension": "201"}, 0)
    writer.event("segment", {"class": "centre", "to": ""}, 0)
    for index in range(SECONDS * 50):
        at = index * 20_000
        if at == 1_000_000:
            gap = {"reason": "payment", "trigger": "page", "actor": "user:sian"}
            writer.event("gap-start", gap, at)
        if at == 2_000_000:
            writer.event("gap-end", {}, at)
            writer.event("segment", {"class": "centre", "to": ""}, at)
        for track in (0, 1):
            head = struct.pack("!BBHII", 0x80, 8, index, index * 160, track)
            if not 1_000_000 <= at < 2_000_000:
                writer.packet(track, at, head + bytes(160))
    writer.event("ended", {"cause": "bye"}, SECONDS * 1_000_000)
    writer.close(SECONDS * 1_000_000)
    house.loop.call_soon_threadsafe(house.look)
    house.do(house.site.gone(writer.path))


@dataclass
class Centre:
    """A node with one recording, and its officer's key file and trust file."""

    house: House
    identity: Path
    tokens: dict[str, str]

    def made(self) -> list[dict]:
        """The audit entries about packs."""
        return [facts for kind, facts in self.house.audit() if kind == "evidence.made"]


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evidence")
    with House(Site(folder / "node")) as house:
        record(house)
        officer = house.site.officer
        officer.save(folder / "identity.txt")
        key = (house.site.settings.archive / "galwad.pub").read_text().strip()
        (folder / "trusted-nodes.json").write_bytes(sign_trust([key], officer.signing))
        tokens = {role: house.token(role, role) for role in ("admin", "supervisor", "advisor")}
        yield Centre(house, folder / "identity.txt", tokens)


@pytest.fixture
def centre(node, run, monkeypatch):
    """The node, with an administrator signed in."""
    del run  # it clears the environment first
    monkeypatch.setenv("GALWAD_SERVER", node.house.url)
    monkeypatch.setenv("GALWAD_TOKEN", node.tokens["admin"])
    return node


@pytest.fixture
def solicitor():
    return Identity.generate()


@pytest.fixture
def make(run, centre, solicitor, tmp_path):
    """Run `galwad evidence` for the solicitor; more arguments can be given."""

    def make(*more, to=None, why=WHY, identity=None):
        to = f"Mair Rees={solicitor.recipient}" if to is None else to
        key = ("--identity", identity or centre.identity)
        return run("evidence", CALL, "--to", to, *why, *key, "-o", tmp_path / "pack.tar.age", *more)

    return make


@pytest.fixture
def pack(make, solicitor, tmp_path):
    """Make a pack, open it with stock age and tar, and return the folder."""

    def pack(*more):
        done = make(*more)
        assert done.status == 0, done.err
        (tmp_path / "key.txt").write_text(f"{solicitor}\n")
        command = f"age -d -i key.txt pack.tar.age | tar -x -C {tmp_path}"
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, cwd=tmp_path)
        return tmp_path / CALL

    return pack


def instructed(folder: Path) -> str:
    """Run the commands of the pack's verify.txt, and return what they print."""
    text = (folder / "data/verify.txt").read_text().split("\n", 3)[3]
    script = folder.parent / "verify.sh"
    script.write_text(f"exec 2>&1\n{text}")
    copy = folder.parent / "checked"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    done = subprocess.run(
        ["bash", script], cwd=copy, capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout


def passes(said: str) -> bool:
    """Return whether the output of verify.txt shows an intact pack."""
    bad = ("FAILED", "ailure", "changed: ", "ERROR", "error")
    signed = said.count("Signature Verified Successfully") == 2
    return signed and all(each in said for each in SAID) and not any(each in said for each in bad)


def samples(source) -> np.ndarray:
    found, rate = soundfile.read(source, dtype="int16", always_2d=True)
    assert rate == RATE
    return found


def original(run, centre, folder: Path) -> np.ndarray:
    target = folder / "original.flac"
    done = run("recordings", "fetch", CALL, *WHY, "--identity", centre.identity, "-o", target)
    assert done.status == 0, done.err
    return samples(target)


def test_a_pack_is_opened_and_verified_with_stock_tools(run, centre, pack, tmp_path):
    folder = pack(*SILENCE)
    bagit.Bag(str(folder)).validate()
    said = instructed(folder)
    assert passes(said), said
    assert "silenced: advisor from 2.5 to 3 s" in said
    assert "silenced: both from 3.25 to 3.5 s" in said
    assert "gap: payment from 1 to 2 s, page" in said
    assert "verdict: whole" in said
    before, after = original(run, centre, tmp_path), samples(folder / f"data/{CALL}.flac")
    expected = before.copy()
    expected[int(2.5 * RATE) : 3 * RATE, 1] = 0
    expected[int(3.25 * RATE) : int(3.5 * RATE)] = 0
    assert before[int(2.5 * RATE) : 3 * RATE, 1].all()
    assert np.array_equal(after, expected)


@pytest.mark.parametrize(
    ("name", "at"),
    [
        (f"{CALL}.flac", b"fLaC"),
        (f"{CALL}.manifest", b"payment"),
        (f"{CALL}.redaction-note", b"complaint"),
        ("audit.jsonl", b"recording.indexed"),
        ("letter.html", b"Mair Rees"),
        ("letter.pdf", b"%PDF-1"),
    ],
)
def test_the_instructions_find_a_change_that_the_digests_of_the_bag_hide(pack, name, at):
    folder = pack(*SILENCE)
    path = folder / "data" / name
    content = bytearray(path.read_bytes())
    content[content.index(at) + len(at) - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(folder)).validate()
    bagit.Bag(str(folder)).save(manifests=True)
    bagit.Bag(str(folder)).validate()
    said = instructed(folder)
    assert not passes(said), said


def test_a_copy_without_silence_has_the_bytes_of_the_recording(run, centre, pack, tmp_path):
    folder = pack("--language", "en")
    original(run, centre, tmp_path)
    copy = folder / f"data/{CALL}.flac"
    assert copy.read_bytes() == (tmp_path / "original.flac").read_bytes()
    assert passes(instructed(folder))
    assert (
        "We silenced nothing, and changed nothing in the sound."
        in (folder / "data/letter.html").read_text()
    )


def test_a_pack_names_no_other_use_of_the_recording_and_no_phone_number(
    run, centre, pack, tmp_path
):
    """A recipient must not learn, for example, that the police asked for the recording."""
    crime = ("--purpose", "crime", "--reference", "POLICE-7")
    police = ("--requester", "DC Jones", "--authority", "form 7", "--recipient", "DC Jones")
    done = run("disclosures", "open", CALL, *crime, *police, "--urgent", "a child", "--json")
    own = ("--disclosure", str(done.json()["disclosure"]["disclosure_id"]))
    file = tmp_path / "police.age"
    done = run("recordings", "fetch", CALL, *crime, *own, "--sealed", "-o", file)
    assert done.status == 0, done.err
    assert "POLICE-7" in {facts.get("reference") for _, facts in centre.house.audit()}
    data = b"".join(path.read_bytes() for path in pack().rglob("*") if path.is_file())
    assert b"POLICE-7" not in data
    assert b"crime" not in data
    assert NUMBER.encode() not in data


@pytest.mark.parametrize(
    ("language", "title", "silenced"),
    [
        ("en", "A copy of a recorded call", "From 0:02.5 to 0:03: the advisor."),
        ("cy", "Copi o alwad a recordiwyd", "O 0:02.5 i 0:03: y cynghorwr."),
    ],
)
def test_the_letter_is_in_the_language_of_the_recipient(pack, language, title, silenced):
    data = pack(*SILENCE, "--language", language) / "data"
    page, pdf = (data / "letter.html").read_text(), (data / "letter.pdf").read_bytes()
    assert f'<html lang="{language}">' in page
    assert title in page
    assert silenced in page
    assert "{" not in page.partition("</style>")[2]
    assert "(sian)" in page  # who paused the recording
    parts = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    objects = b"".join(zlib.decompressobj().decompress(each) for each in parts if each[0] == 0x78)
    assert b"/MarkInfo <</Marked true>>" in objects
    assert f"/Lang ({language})".encode() in objects


def test_text_from_the_command_line_cannot_become_html_in_the_letter(pack):
    """A reason such as this would otherwise load a picture from another server."""
    why = "<img src=https://example.org/x>"
    data = pack("--silence", "caller", "--why", why, "--language", "en") / "data"
    page = (data / "letter.html").read_text()
    assert "<img" not in page
    assert "&lt;img src=https://example.org/x&gt;" in page


def test_a_pack_can_be_protected_with_a_passphrase(make, tmp_path, monkeypatch):
    monkeypatch.setenv("GALWAD_PACK_PASSPHRASE", "five words are enough here")
    done = make(to="PC 412 Dyfed-Powys")
    assert done.status == 0, done.err
    sealed = (tmp_path / "pack.tar.age").read_bytes()
    assert b"bagit.txt" in pyrage.passphrase.decrypt(sealed, "five words are enough here")


def test_the_audit_has_the_digest_and_the_recipient_of_each_pack(make, centre, tmp_path):
    before = len(centre.made())
    done = make(*SILENCE, "--json")
    assert done.status == 0, done.err
    (made,) = centre.made()[before:]
    sealed = (tmp_path / "pack.tar.age").read_bytes()
    assert made["pack_sha256"] == hashlib.sha256(sealed).hexdigest() == done.json()["sha256"]
    assert made["pack_size"] == len(sealed)
    assert (made["recipient"], made["reference"]) == ("Mair Rees", "C-1024")
    assert (made["purpose"], made["silenced"], made["actor"]) == ("complaint", 2, "user:admin")


def test_no_pack_is_written_if_the_server_cannot_audit_it(make, centre, tmp_path, monkeypatch):
    def ask(server, method, path, body=None, **more):
        if path.endswith("/evidence"):
            raise CliError("the audit cannot be written", "free some space")
        return real_ask(server, method, path, body, **more)

    monkeypatch.setattr("galwad.archive.commands.evidence_pack.ask", ask)
    before = len(centre.made())
    done = make()
    assert (done.status, len(centre.made())) == (1, before)
    assert done.err.startswith("error: the audit cannot be written\n")
    assert list(tmp_path.glob("*.age")) == []
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--silence", "caller"), "--silence and --why belong together"),
        (("--why", "another customer"), "--silence and --why belong together"),
        (("--silence", "", "--why", "x"), 'cannot read --silence ""'),
        (("--silence", "third party", "--why", "x"), 'cannot read --silence "third party"'),
        (("--silence", "caller 1:20", "--why", "x"), 'cannot read --silence "caller 1:20"'),
        (("--silence", "0:03-0:02", "--why", "x"), "has no part of the call"),
        (("--silence", "0:02-0", "--why", "x"), "has no part of the call"),
        (("--silence", "0:04-0:05", "--why", "x"), "has no part of the call"),
        (("--language", "kw"), 'there are no texts in the language "kw"'),
    ],
)
def test_options_that_contradict_the_call_are_refused(make, tmp_path, options, error):
    done = make(*options)
    assert done.status == 2
    assert error in done.err
    assert len(done.err.splitlines()) == 2
    assert list(tmp_path.glob("*.age")) == []


@pytest.mark.parametrize(
    ("to", "error"),
    [
        ("Mair Rees=age1qqqq", "--to: not an age recipient"),
        ("=age1qqqq", "--to has no name"),
        ("age1qqqq", "--to has no name"),
        (f"Mair Rees={Recipient(bytes(32))}", "point of low order"),
        (f"{'M' * 201}=age1qqqq", "more than 200 characters"),
        ("Mair Rees", "a passphrase is required"),
    ],
)
def test_a_recipient_without_a_name_key_or_passphrase_is_refused(
    make, tmp_path, monkeypatch, to, error
):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    done = make(to=to)
    assert (done.status in {1, 2}, error in done.err) == (True, True), done.err
    assert len(done.err.splitlines()) == 2
    assert list(tmp_path.glob("*.age")) == []


def test_only_an_administrator_makes_a_pack_for_the_police(make, centre, tmp_path, monkeypatch):
    monkeypatch.setenv("GALWAD_TOKEN", centre.tokens["supervisor"])
    done = make(why=("--purpose", "crime", "--reference", "POLICE-7"))
    assert done.status == 1
    assert "only the recording administrator may fetch for this purpose" in done.err
    monkeypatch.setenv("GALWAD_TOKEN", centre.tokens["advisor"])
    assert make().status == 1
    assert list(tmp_path.glob("*.age")) == []


def test_a_key_file_without_a_signing_key_is_refused(make, tmp_path):
    identity = tmp_path / "plain.txt"
    identity.write_text(f"{Identity.generate()}\n")
    identity.chmod(0o600)
    done = make(identity=identity)
    assert (done.status, "contains no signing key" in done.err) == (1, True)


def test_a_recording_of_a_node_that_the_officer_does_not_trust_is_refused(make, node, tmp_path):
    identity = tmp_path / "alone" / "identity.txt"
    identity.parent.mkdir()
    shutil.copy(node.identity, identity)
    done = make(identity=identity)
    assert done.status == 1
    assert "no key that you trust signed the manifest" in done.err
    public = (node.house.site.settings.archive / "galwad.pub").read_text().strip()
    assert make("--node-key", public, identity=identity).status == 0


def test_a_recording_that_is_not_whole_needs_the_option_and_the_letter_says_so(centre, make, pack):
    """The row in the index is changed, so the officer cannot rely on it."""
    path = centre.house.path(CALL, "rewrap")
    path.write_bytes(b"{}")
    try:
        done = make()
        assert (done.status, "NOT WHOLE" in done.err) == (1, True), done.err
        assert "--not-whole" in done.err
        data = pack("--not-whole", "--language", "en") / "data"
        assert "The recording is not whole." in (data / "letter.html").read_text()
        assert b'"verdict":"not whole"' in (data / f"{CALL}.redaction-note").read_bytes()
    finally:
        path.unlink()


@pytest.mark.parametrize("part", ["gaps", "started", "talk_us", "entries", "signed"])
def test_a_server_that_explains_other_gaps_than_the_signed_manifest_gets_no_letter(
    make, tmp_path, monkeypatch, part
):
    def ask(server, method, path, body=None, **more):
        found = real_ask(server, method, path, body, **more)
        if not path.endswith("/gaps"):
            return found
        link = {"previous": "0" * 64, "hash": "0" * 64, "body": "{}"}
        changed = {"gaps": [], "started": found["started"] + 1, "talk_us": 1, "entries": [link]}
        return {
            **found,
            **({"signed": False, "gaps": []} if part == "signed" else {}),
            **{name: value for name, value in changed.items() if name == part},
        }

    monkeypatch.setattr("galwad.archive.commands.evidence_pack.ask", ask)
    done = make()
    assert (done.status, len(done.err.splitlines())) == (1, 2)
    assert "differs from the signed manifest" in done.err
    assert list(tmp_path.glob("*.age")) == []


def test_an_officer_is_warned_if_a_third_party_takes_part_and_nothing_is_silenced(run, make):
    why = ("--reason", "interpreter")
    assert run("recordings", "flag", CALL, "third-party", *why).status == 0
    try:
        assert "flagged third-party" in make().err
        assert make("--force", *SILENCE).err == ""
    finally:
        run("recordings", "unflag", CALL, "third-party", *why)


def test_a_recording_without_its_payload_is_refused_even_with_the_option(centre, make, tmp_path):
    path = centre.house.path(CALL, "payload")
    kept = path.read_bytes()
    path.unlink()
    try:
        done = make("--not-whole")
        assert (done.status, len(done.err.splitlines())) == (1, 2)
        assert "the server cannot send the payload" in done.err
    finally:
        path.write_bytes(kept)


def test_an_existing_pack_is_replaced_only_with_force(make, tmp_path):
    assert make().status == 0
    before = (tmp_path / "pack.tar.age").read_bytes()
    done = make()
    assert (done.status, "already exists" in done.err) == (1, True)
    assert (tmp_path / "pack.tar.age").read_bytes() == before
    assert make("--force").status == 0
    assert (tmp_path / "pack.tar.age").read_bytes() != before


def test_without_the_library_for_pdf_nothing_is_fetched(make, centre, monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    before = centre.house.audit()
    done = make()
    assert done.err.startswith("error: the library WeasyPrint, which makes the PDF, is missing\n")
    assert centre.house.audit() == before
