"""Random damage in an archive: its readers give an answer or raise an error of this package.

Covers `recording/archive/manifest.py`, `recording/archive/verify.py` and
`recording/keys/signed_document.py`.
"""

import base64
import contextlib
import io
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from helpers.recording.office import Office
from recording.age.file import encrypt_small, open_file, open_header, open_parts
from recording.age.header import Header
from recording.age.stream import CHUNK, PayloadReader
from recording.archive.manifest import read_manifest
from recording.archive.store import Archive
from recording.archive.verify import verify_recording
from recording.errors import ArchiveError, HeaderError, ManifestError, PayloadError
from recording.keys.keyring import OfficerKeys, public_text

CALL_ID = "20260301-090000-abcdefgh"
MANY = settings(max_examples=examples(300), deadline=None, suppress_health_check=list(HealthCheck))
OFFICER = OfficerKeys.generate()
IDENTITY = OFFICER.identity

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
TEXTS = [b"", b"\n", b"-> ", b"---", b"=", b"\x00", b"[" * 5000, b'{"a":' * 3000, b"1" * 400]
TEXTS += [b'"\\ud800"', b"-1e999", b"18446744073709551616", b"null", b"\xff\xfe"]


@st.composite
def mutated(draw, valid: bytes) -> bytes:
    """The bytes of a valid file after some edits."""
    data = bytearray(valid)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 60)))
        what = draw(st.sampled_from(["flip", "cut", "drop", "insert", "repeat"]))
        if what == "flip" and start < len(data):
            data[start] ^= draw(st.integers(1, 255))
        elif what == "cut":
            del data[start:]
        elif what == "drop":
            del data[start:end]
        elif what == "insert":
            data[start:start] = draw(st.sampled_from(TEXTS) | st.binary(max_size=40))
        elif what == "repeat":
            data[end:end] = data[start:end]
    return bytes(data)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """The office with one recording for our officer, and each object's bytes."""
    office = Office(tmp_path_factory.mktemp("office"), OFFICER)
    office.seal(office.simple())
    kinds = ("header", "payload", "manifest")
    return office, {kind: (office.folder / f"{CALL_ID}.{kind}").read_bytes() for kind in kinds}


@given(data=st.data())
@MANY
def test_a_changed_header_raises_only_archive_errors(sealed, data):
    header = data.draw(mutated(sealed[1]["header"]))
    with contextlib.suppress(ArchiveError):
        assert Header.parse(header).raw == header
    with contextlib.suppress(ArchiveError):
        open_header(header, [IDENTITY])


@given(data=st.data())
@MANY
def test_a_changed_payload_yields_only_bytes_that_were_sealed(sealed, data):
    objects = sealed[1]
    whole = open_parts(objects["header"], io.BytesIO(objects["payload"]), [IDENTITY]).readall()
    payload = io.BytesIO(data.draw(mutated(objects["payload"])))
    places = st.integers(0, len(whole) + CHUNK)
    with contextlib.suppress(PayloadError, HeaderError):
        reader = open_parts(objects["header"], payload, [IDENTITY])
        for place in data.draw(st.lists(places, max_size=3)):
            reader.seek(place)
            part = reader.read(100)
            assert part == whole[place : place + len(part)]
        reader.seek(0)
        read = reader.readall()
        assert read == whole


JOINED = encrypt_small(b"a spool's key, say", [IDENTITY.recipient])


@given(data=st.data())
@MANY
def test_a_changed_age_file_raises_only_archive_errors(data):
    joined = data.draw(mutated(JOINED))
    with contextlib.suppress(ArchiveError):
        assert open_file(io.BytesIO(joined), [IDENTITY]).readall() == b"a spool's key, say"


@given(rubbish=st.binary(max_size=200))
@MANY
def test_random_bytes_are_refused_as_a_payload(rubbish):
    with pytest.raises(ArchiveError):
        PayloadReader(io.BytesIO(rubbish), bytes(16)).readall()


@given(data=st.data())
@MANY
def test_a_changed_manifest_raises_only_manifest_errors(sealed, data):
    office, objects = sealed
    manifest = data.draw(mutated(objects["manifest"]))
    for public_key in (None, office.public_key):
        with contextlib.suppress(ManifestError):
            same = read_manifest(objects["manifest"])
            assert read_manifest(manifest, public_key) == same


def test_every_changed_byte_of_a_manifest_is_refused_even_with_the_same_meaning(sealed):
    """This includes octets that base64 or JSON would read as the same value."""
    good = sealed[1]["manifest"]
    told = b" \t\n\r=" + bytes(range(0x30, 0x7B))
    for at in range(len(good)):
        near = at < 100 or at > len(good) - 120
        for octet in set(told if near else b" x") - {good[at]}:
            with pytest.raises(ManifestError):
                read_manifest(good[:at] + bytes([octet]) + good[at + 1 :])
    for changed in (good[:-1], good + b"\n", good + b" ", b" " + good):
        with pytest.raises(ManifestError, match="its bytes are not those that were written"):
            read_manifest(changed)
    more = json.loads(good) | {"zeal": "not signed"}
    with pytest.raises(ManifestError, match="its bytes are not those that were written"):
        read_manifest(msgspec.json.encode(more, order="sorted") + b"\n")


def signed_by_a_stranger(body: object) -> bytes:
    """Return a manifest file with this body and a valid signature of an unknown key."""
    key = Ed25519PrivateKey.generate()
    content = msgspec.json.encode(body, order="sorted")
    context = b"galwad manifest v1\n"
    signature = base64.b64encode(key.sign(context + content)).decode()
    public = public_text(key.public_key())
    line = {"key": public, "manifest": body, "signature": signature}
    return msgspec.json.encode(line, order="sorted") + b"\n"


@given(data=st.data())
@MANY
def test_an_arbitrary_manifest_with_a_valid_signature_raises_only_manifest_errors(sealed, data):
    body = json.loads(sealed[1]["manifest"])["manifest"]
    small = JSON.filter(encodable)
    if data.draw(st.booleans()):
        changes = st.dictionaries(st.sampled_from(sorted(body)), small, max_size=3)
        body |= data.draw(changes)
    else:
        body = data.draw(small)
    with contextlib.suppress(ManifestError):
        read_manifest(signed_by_a_stranger(body))


@pytest.mark.parametrize(
    "content", [b"[" * 5000, b"[" * 1_000_000, b'{"manifest":' * 5000, b'{"manifest":' + b"[" * 900]
)
def test_a_manifest_nested_too_deeply_is_refused_as_malformed(content):
    with pytest.raises(ManifestError, match="malformed"):
        read_manifest(content)


@pytest.mark.parametrize("body", [None, [], "text", 5, {}, {"format": []}])
def test_signed_json_without_a_manifest_format_is_refused(body):
    with pytest.raises(ManifestError, match="format"):
        read_manifest(signed_by_a_stranger(body))


def encodable(value: object) -> bool:
    try:
        msgspec.json.encode(value)
    except (OverflowError, UnicodeEncodeError):
        return False
    return True


@given(document=JSON, data=st.data())
@MANY
def test_arbitrary_json_is_refused_as_a_manifest(document, data):
    names = st.sampled_from(["key", "manifest", "signature", "more"])
    table = data.draw(st.dictionaries(names, JSON, max_size=4))
    for value in (document, table):
        with pytest.raises(ManifestError):
            read_manifest(json.dumps(value).encode("utf-8", "replace"))


@given(data=st.data())
@settings(MANY, max_examples=examples(150))
def test_verification_of_a_folder_with_changed_files_always_gives_a_verdict(sealed, data):
    office, objects = sealed
    kind = data.draw(st.sampled_from(sorted(objects)))
    path = office.folder / f"{CALL_ID}.{kind}"
    try:
        path.write_bytes(data.draw(mutated(objects[kind])))
        changed = path.read_bytes() != objects[kind]
        verdict = verify_recording(office.folder, CALL_ID, identities=[IDENTITY])
        assert not verdict.whole
        assert verdict.has_unexplained_damage or not changed or kind == "manifest"
        known = verify_recording(office.folder, CALL_ID, node_keys=[office.public_key])
        assert known.whole or changed
        found = Archive(office.root / "archive", office.node).find(CALL_ID)
        assert found is None or found == read_manifest(objects["manifest"])
    finally:
        path.write_bytes(objects[kind])
