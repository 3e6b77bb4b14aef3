"""An exported audit chain, and anchors that other people keep.

Covers `recording/audit/anchors.py`.
"""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.file_sizes import file_size_limit
from recording.audit.anchors import Anchor, Restore, append_anchor, parse_anchors
from recording.audit.chain import (
    GENESIS,
    RESTORED,
    ChainEntry,
    Head,
    canonical,
    chained,
    read_export,
    verify_entries,
)
from recording.audit.log import AuditLog
from recording.errors import ChainError

TEXTS = st.text(max_size=60)


@pytest.fixture
async def entries(engine, tmp_path):
    """Five entries, two of them day keys."""
    now = 1_800_000_000.0
    audit = AuditLog(engine, "node-1", tmp_path / "audit.key", lambda: now)
    await audit.append("recording.fetched", {"call_id": "a"}, {"actor": "user:gwen"})
    await audit.append("recording.fetched", {"call_id": "b"}, {"actor": "user:gwen\u2028x"})
    now += 86_400
    await audit.append("recording.fetched", {"call_id": "c"})
    return await audit.chain_entries()


def found(entries, anchors=()):
    return [(finding.seq, finding.problem) for finding in verify_entries(entries, anchors).findings]


async def test_an_export_is_read_back_unchanged_and_verifies(entries):
    lines = [str(link) for link in entries]
    assert all("\n" not in line for line in lines)
    assert list(read_export([*lines, "\n"])) == entries
    result = verify_entries(read_export(lines))
    assert (result.entries, result.is_clean, result.head) == (5, True, Head(5, entries[-1].hash))


async def test_changed_dropped_and_moved_entries_are_reported(entries):
    changed = [
        *entries[:2],
        replace(entries[2], body=entries[2].body.replace('"b"', '"x"')),
    ]
    assert found([*changed, *entries[3:]]) == [(3, "it or the entry before it was changed")]
    assert (4, "1 entries before it are missing") in found([*entries[:2], *entries[3:]])
    assert (2, "it is out of order") in found([*entries[:3], entries[1], *entries[3:]])
    salted = {"actor": (b"x", "user:huw")}
    other = ChainEntry(
        2, entries[1].at_us, entries[1].kind, entries[1].body, entries[1].hash, salted
    )
    assert found([entries[0], other, *entries[2:]]) == [
        (2, "its value actor does not match its commitment")
    ]


async def test_an_anchor_after_the_chains_end_is_reported_unlike_an_anchor_of_a_missing_entry(
    entries,
):
    anchors = [Head(2, entries[1].hash), Head(9, "0" * 64)]
    later = "an anchor kept elsewhere names it, but the chain ends with entry 5"
    assert found([entries[0], *entries[2:]], anchors)[-2:] == [
        (2, "an anchor kept elsewhere names it, but it is missing"),
        (9, f"{later}: its end was removed, or this is an older export"),
    ]


async def test_a_cut_tail_is_reported_only_with_an_anchor(entries):
    head = Head(5, entries[-1].hash)
    assert found(entries[:4]) == []
    assert found(entries, [head]) == []
    (cut,) = found(entries[:4], [head])
    assert cut[0] == 5
    assert cut[1].startswith("an anchor kept elsewhere names it, but the chain ends with entry 4: ")


async def test_two_different_anchors_of_one_entry_are_reported(entries):
    both = [Head(2, entries[1].hash), Head(2, "0" * 64)]
    assert found(entries, both) == [(2, "an anchor kept elsewhere has another hash")]


@given(TEXTS)
def test_a_line_that_is_not_an_export_raises_chain_error(line):
    if line.strip():
        with pytest.raises(ChainError):
            list(read_export([line]))


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"seq": "x"}', '{"seq": 1, "kind": 7}'])
def test_an_entry_with_an_unusable_body_is_reported_without_an_exception(body):
    assert found([ChainEntry.of_body(body, "0" * 64)])


@given(TEXTS, st.integers(1, 10**9), st.binary(min_size=32, max_size=32))
def test_an_anchor_is_read_back_unchanged(node, seq, digest):
    anchor = Anchor(node, Head(seq, digest.hex()), "2026-11-25T03:00:00Z")
    assert parse_anchors([str(anchor), " "]) == [anchor]


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "[]",
        "{}",
        '{"at":"","format":"galwad-anchor-1","hash":"00","node":"n","seq":1}',
        '{"at":"","format":"galwad-anchor-1","hash":"%s","node":"n","seq":0}' % ("0" * 64),
        '{"at":"","format":"other","hash":"%s","node":"n","seq":1}' % ("0" * 64),
    ],
)
def test_a_line_that_is_not_an_anchor_raises_chain_error(line):
    with pytest.raises(ChainError, match="line 1: "):
        parse_anchors([line])


def test_a_second_anchor_is_appended_after_the_first(tmp_path):
    path = tmp_path / "anchors.jsonl"
    anchors = [Anchor("n", Head(seq, f"{seq:064x}"), "now") for seq in (1, 2)]
    for anchor in anchors:
        append_anchor(path, anchor)
    assert parse_anchors(path.read_text().splitlines()) == anchors


def test_an_anchor_appended_to_an_unfinished_line_starts_a_new_line(tmp_path):
    path = tmp_path / "anchors.jsonl"
    anchors = [Anchor("n", Head(seq, f"{seq:064x}"), "now") for seq in (1, 2)]
    path.write_text(str(anchors[0]))
    append_anchor(path, anchors[1])
    assert parse_anchors(path.read_text().splitlines()) == anchors


def test_a_partly_written_anchor_is_removed_so_that_a_later_anchor_can_be_read(tmp_path):
    path = tmp_path / "anchors.jsonl"
    anchors = [Anchor("n", Head(seq, f"{seq:064x}"), "now") for seq in (1, 2)]
    append_anchor(path, anchors[0])
    with file_size_limit(path.stat().st_size + 40), pytest.raises(OSError, match="No space"):
        append_anchor(path, anchors[1])
    append_anchor(path, anchors[1])
    assert parse_anchors(path.read_text().splitlines()) == anchors


async def test_every_changed_byte_of_an_export_is_reported(entries):
    """This includes changes that keep the meaning: spaces, and the case of hexadecimal."""
    line = str(entries[1])
    for at, octet in enumerate(line):
        for other in {octet.swapcase(), "x", " ", "0"} - {octet}:
            changed = line[:at] + other + line[at + 1 :]
            try:
                told = found([entries[0], *read_export([changed]), *entries[2:]])
            except ChainError:
                continue
            assert told, changed
    with pytest.raises(ChainError, match="changed after the export"):
        list(read_export([f" {line}"]))


def forged(body, before=GENESIS):
    """Return an entry with this body and a matching hash."""
    return ChainEntry.of_body(body, chained(before, body))


@pytest.mark.parametrize(
    "changes",
    [
        {"facts": ["public_key"]},
        {"facts": {"public_key": 7, "signature": 7}},
        {"facts": {"public_key": "00" * 32, "signature": None}},
        {"commitments": ["actor"]},
        {"seq": True},
        {"at_us": "then"},
        {"node": ["x"]},
    ],
)
async def test_a_forged_body_with_malformed_fields_is_reported(entries, changes):
    body = canonical({**json.loads(entries[0].body), "seq": 2, **changes})
    link = forged(body, entries[0].hash)
    salted = replace(link, values={"actor": (b"x", "user:huw")})
    assert found([entries[0], salted])


async def test_a_rewritten_chain_without_a_day_key_is_reported(entries):
    """A forger can compute every hash again, and does not have the keys that signed the days."""
    chain: list = []
    for link in entries:
        if link.seq != 4:  # the second day's key
            seq = len(chain) + 1
            body = link.body.replace(f'"seq":{link.seq}', f'"seq":{seq}')
            made = forged(body, chain[-1].hash if chain else GENESIS)
            chain.append(replace(made, values=link.values))
    assert found(chain) == [(4, "no day key of its day comes before it")]


def restored(seq, last):
    """Return the entry of a restore from a backup that ended with entry `last`."""
    facts = {"made": "2026-11-24T03:00:00Z", "seq": last, "disposals": 0}
    told = {"node": "n", "seq": seq, "at_us": 2, "kind": RESTORED, "facts": facts}
    return Restore.parse(forged(canonical(told | {"commitments": {}})))


def test_a_restore_excuses_only_a_day_key_right_after_the_lost_entries():
    assert restored(11, 10).unsigned_day_key is None
    assert restored(12, 10).unsigned_day_key == 11
    assert restored(12, 5) is None, "entries 6 to 10 are said to be lost, and are there"
    assert restored(12, 12) is None
