"""`galwad audit verify`, `export` and `anchor`: each fault of the chain is named.

Covers `galwad/archive/commands/audit.py` and `galwad/archive/commands/audit_archive.py`.
"""

from __future__ import annotations

import hashlib
import json
import tracemalloc

import pytest

from helpers.recording.clock import Clock
from recording.archive import verify as in_motion
from recording.audit.anchors import Anchor
from recording.audit.chain import GENESIS, ChainEntry, Head, canonical, chained

CALL = "20261125-093000-abcdefgh"
NAMED = "an anchor kept elsewhere names it"
CUT = "its end was removed, or this is an older export"
SEALED = 1_795_599_301
"""The time at which the archive's recording was sealed, in Unix seconds."""


def chain(*kinds, facts=None, at=1_795_599_000, node="galwad-1"):
    """A chain whose only day key is the first, which needs no signature."""
    links, before = [], GENESIS
    for seq, kind in enumerate(("day-key", *kinds), 1):
        told = facts or {}
        told = {"public_key": "00" * 32, "previous": ""} if kind == "day-key" else told
        body = canonical(
            {
                "node": node,
                "seq": seq,
                "at_us": at * 1_000_000 + seq,
                "kind": kind,
                "facts": told,
                "commitments": {},
            }
        )
        before = chained(before, body)
        links.append(ChainEntry.of_body(body, before))
    return links


@pytest.fixture
def links(archive):
    """The server's chain, with three entries."""
    archive.chain = chain("sign-in.accepted", "recording.fetched", facts={"call_id": CALL})
    return archive.chain


@pytest.mark.usefixtures("server")
def test_audit_verify_gives_the_same_result_for_the_server_and_for_its_export(run, links, tmp_path):
    export = tmp_path / "chain.jsonl"
    assert run("audit", "export", "-o", export).out == f"{export}  3 entries\n"
    assert run("audit", "export", "-o", export).status == 1
    for what in ((), (export,)):
        done = run("audit", "verify", *what)
        assert (done.status, done.out) == (0, f"3 entries, the last {links[-1].hash}\n")


def write(path, links):
    path.write_text("".join(f"{link}\n" for link in links))
    return path


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda links: [links[0], links[2]], "entry 3: 1 entries before it are missing"),
        (lambda links: links[1:], "entry 2: 1 entries before it are missing"),
        (
            lambda links: [*links[:2], ChainEntry.of_body(links[2].body, "0" * 64)],
            "entry 3: it or the entry before it was changed",
        ),
        (
            lambda links: links[:2],
            f"entry 3: {NAMED}, but the chain ends with entry 2: {CUT}",
        ),
    ],
)
def test_each_kind_of_damage_to_the_chain_is_reported(run, links, tmp_path, damage, problem):
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text(f"{Anchor('galwad-1', Head(3, links[2].hash), 'then')}\n")
    done = run("audit", "verify", write(tmp_path / "c", damage(links)), "--anchors", anchors)
    assert done.status == 1
    assert problem in done.out.splitlines()
    assert "has changed" in done.err


def test_control_characters_in_a_forged_chain_are_not_printed(run, tmp_path):
    """A forged entry must not clear the finding about it from the screen."""
    mark = "\x1b[2J\x1b[H"
    links = chain("recording.indexed", facts={"call_id": f"{CALL}{mark}"}, node=f"n{mark}")
    export = write(tmp_path / "chain.jsonl", links)
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text(f"{Anchor(f'm{mark}', Head(3, '0' * 64), 'then')}\n")
    words = ("audit", "verify", export, "--anchors", anchors, "--recordings", tmp_path)
    done = run(*words)
    assert (done.status, "\x1b" in done.out) == (1, False)
    assert sum("\x1b" in problem for problem in run(*words, "--json").json()["problems"]) == 2


@pytest.mark.parametrize("seconds", [10**12, 10**400, -(10**12)])
def test_an_entry_with_an_impossible_time_is_reported(run, archive, tmp_path, seconds):
    links = chain("recording.indexed", "x", facts={"call_id": CALL}, at=seconds)
    export = write(tmp_path / "chain.jsonl", links)
    done = run("audit", "verify", export, "--recordings", tmp_path)
    assert done.status == 1
    assert "entry 2: its columns contradict its body" in done.out.splitlines()


def test_a_long_chain_is_verified_without_loading_it_whole(run, tmp_path):
    export = write(tmp_path / "chain.jsonl", chain(*["x"] * 3000, facts={"x": "y" * 4000}))
    tracemalloc.start()
    try:
        assert run("audit", "verify", export, "--recordings", tmp_path).status == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < export.stat().st_size / 2


def test_a_malformed_export_or_anchor_file_is_reported(run, tmp_path):
    bad = tmp_path / "bad"
    bad.write_text("hello\n")
    assert (
        f"{bad}: line 1: this is not a line of an audit's export" in run("audit", "verify", bad).err
    )
    (tmp_path / "empty").touch()
    assert "no entry to verify" in run("audit", "verify", tmp_path / "empty").err
    assert "cannot read" in run("audit", "verify", tmp_path / "none").err
    good = write(tmp_path / "good", chain("x"))
    assert "this is not an anchor" in run("audit", "verify", good, "--anchors", bad).err


def test_a_recording_that_differs_from_the_chain_is_reported(run, archive, tmp_path):
    folder = tmp_path / "2026" / "11" / "25"
    folder.mkdir(parents=True)
    (folder / f"{CALL}.manifest").write_bytes(archive.manifest)
    digest = archive.row["manifest_sha256"]

    def said(call_id, digest, *more, at=SEALED + 600):
        facts = {"call_id": call_id, "manifest_sha256": digest}
        export = write(tmp_path / "chain.jsonl", chain("recording.indexed", facts=facts, at=at))
        done = run("audit", "verify", export, "--recordings", tmp_path, *more)
        *lines, unread, _ = done.out.splitlines()
        assert unread.startswith("no payload was read: add --payloads")
        return done.status, lines

    assert said(CALL, digest) == (0, [])
    assert said(CALL, "0" * 64) == (1, [f"{CALL}: its manifest is not the one that was indexed"])
    gone = "20261124-093000-bcdefghi"
    assert said(gone, digest) == (
        1,
        [
            f"{gone}: it was indexed, but is missing",
            f"{CALL}: it exists, but was never indexed",
        ],
    )
    assert said(gone, digest, "--since", "2026-11-26") == (0, [])
    on_its_way = f"{CALL}: it exists, but was never indexed"
    assert said(gone, digest, at=SEALED - 601)[1][1] == (
        f"{CALL}: it exists, but was never indexed; "
        "its date is after the chain's end: export the chain again"
    )
    for at in (SEALED - 599, SEALED + 599):
        note, lost = said(gone, digest, at=at)[1]
        assert note == f"{on_its_way}; its entry may come after the chain's end"
        assert lost == f"{gone}: it was indexed, but is missing"
        assert said(gone, digest, "--since", "2026-11-25", at=at)[0] == 0


def test_payloads_are_compared_with_their_manifests_only_on_request(run, archive, tmp_path):
    folder = tmp_path / "2026" / "11" / "25"
    folder.mkdir(parents=True)
    (folder / f"{CALL}.manifest").write_bytes(archive.manifest)
    facts = {"call_id": CALL, "manifest_sha256": archive.row["manifest_sha256"]}
    export = write(tmp_path / "chain.jsonl", chain("recording.indexed", facts=facts))
    command = ("audit", "verify", export, "--recordings", tmp_path)
    payload = folder / f"{CALL}.payload"
    missing = run(*command, "--payloads")
    assert (missing.status, missing.out.splitlines()[0]) == (1, f"{CALL}: its payload is missing")
    payload.write_bytes(archive.payload)
    whole = run(*command, "--payloads")
    assert whole.status == 0, whole.err
    assert "no payload was read" not in whole.out
    payload.write_bytes(archive.payload[:-1] + bytes([archive.payload[-1] ^ 1]))
    changed = run(*command, "--payloads")
    assert (changed.status, changed.out.splitlines()[0]) == (1, f"{CALL}: its payload was changed")
    assert run(*command).status == 0
    assert [
        run(*command, *more, "--json").json()["payloads_read"] for more in ((), ["--payloads"])
    ] == [
        False,
        True,
    ]
    assert run("audit", "verify", export, "--payloads").status == 2


@pytest.mark.parametrize(
    ("kinds", "known"),
    [
        ((), False),
        (("replaced",), True),
        (("replaced", "not-replaced"), False),
        (("replaced", "replaced", "not-replaced"), True),
        (("replaced", "replaced", "not-replaced", "not-replaced"), False),
    ],
)
def test_a_header_from_before_a_rewrap_is_reported_unless_every_rewrap_was_refused(
    run, archive, tmp_path, kinds, known
):
    (tmp_path / f"{CALL}.manifest").write_bytes(archive.manifest)
    (tmp_path / f"{CALL}.header").write_bytes(archive.header)
    facts = {
        "call_id": CALL,
        "manifest_sha256": archive.row["manifest_sha256"],
        "old_sha256": hashlib.sha256(archive.header).hexdigest(),
        "new_sha256": "0" * 64,
    }
    kinds = ("recording.indexed", *(f"header.{kind}" for kind in kinds))
    export = write(tmp_path / "chain.jsonl", chain(*kinds, facts=facts))
    done = run("audit", "verify", export, "--recordings", tmp_path)
    assert ("its header is from before a rewrap" in done.out) == known


def test_verify_waits_for_a_recording_that_is_being_sealed(run, archive, tmp_path, monkeypatch):
    """The payload is written before the manifest, which has the call id and the time."""
    folder = tmp_path / "2026" / "11" / "25"
    folder.mkdir(parents=True)
    (folder / f"{CALL}.payload").write_bytes(archive.payload)
    clock = Clock(folder)
    clock.work = lambda: (folder / f"{CALL}.manifest").write_bytes(archive.manifest)
    monkeypatch.setattr(in_motion, "time", clock)
    monkeypatch.setattr(in_motion, "QUIET_S", 1.0)
    export = write(tmp_path / "chain.jsonl", chain("x", at=SEALED))
    done = run("audit", "verify", export, "--recordings", tmp_path)
    assert done.status == 0
    assert "its entry may come after the chain's end" in done.out


def test_a_duplicate_recording_and_the_wrong_manifest_of_its_first_copy_are_reported(
    run, archive, tmp_path
):
    """The first copy by name has another manifest; the second copy is good."""
    copies = [tmp_path / "a" / each / "2026" / "11" / "25" for each in "12"]
    for folder, manifest in zip(copies, (b"another", archive.manifest), strict=True):
        folder.mkdir(parents=True)
        (folder / f"{CALL}.manifest").write_bytes(manifest)
    facts = {"call_id": CALL, "manifest_sha256": archive.row["manifest_sha256"]}
    export = write(tmp_path / "chain.jsonl", chain("recording.indexed", facts=facts))
    done = run("audit", "verify", export, "--recordings", tmp_path / "a")
    assert done.status == 1
    assert done.out.splitlines()[:-2] == [
        f"{CALL}: it exists more than once: in {copies[0]} and {copies[1]}",
        f"{CALL}: its manifest is not the one that was indexed",
    ]


def test_a_chain_is_refused_if_no_anchor_is_from_its_node(run, tmp_path):
    anchors = tmp_path / "anchors.jsonl"
    anchors.write_text(f"{Anchor('galwad-1', Head(3, '0' * 64), 'then')}\n")
    forged = write(tmp_path / "c", chain("x", "x", node="galwad-2"))
    done = run("audit", "verify", forged, "--anchors", anchors)
    assert done.status == 1
    text = "no anchor is from node galwad-2"
    assert f"{text}: they are from galwad-1" in done.out.splitlines()
    anchors.write_text("\n")
    assert text in run("audit", "verify", forged, "--anchors", anchors).out.splitlines()


@pytest.mark.usefixtures("server")
def test_an_anchor_is_added_only_if_the_chain_still_has_the_last_anchored_entry(
    run, archive, links, tmp_path
):
    anchors = tmp_path / "anchors.jsonl"
    assert run("audit", "anchor", "-o", anchors).out.startswith(f"{anchors}  entry 3, ")
    archive.chain = chain("sign-in.accepted", "recording.fetched", "x", facts={"call_id": CALL})
    assert run("audit", "anchor", "-o", anchors, "--json").json()["seq"] == 4
    assert [json.loads(line)["seq"] for line in anchors.read_text().splitlines()] == [3, 4]
    archive.chain = chain("recording.fetched", "x", "x", "x")
    done = run("audit", "anchor", "-o", anchors)
    assert done.status == 1
    assert "the chain no longer has entry 4 as it was noted on " in done.err
    anchors.write_text(anchors.read_text().replace("galwad-1", "galwad-2"))
    done = run("audit", "anchor", "-o", anchors)
    assert (
        f"the server is node galwad-1, and the last anchor in {anchors} is of galwad-2" in done.err
    )
    assert len(anchors.read_text().splitlines()) == 2


@pytest.mark.usefixtures("server", "links")
@pytest.mark.parametrize("place", ["/dev/full", "/dev/zero", "."])
def test_an_anchor_is_written_only_to_a_regular_file(run, place):
    """The earlier anchors are read first, and /dev/full and /dev/zero have no end."""
    done = run("audit", "anchor", "-o", place)
    assert (done.status, done.err.splitlines()[0]) == (1, f"error: {place} is not a file")
