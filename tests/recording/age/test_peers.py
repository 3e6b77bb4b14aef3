"""age v1 files made by hypothesis, in both directions with the `age` program and pyrage.

Covers `recording/age/header.py` and `recording/age/stream.py`.
"""

import io
import os
import random
import subprocess

import pyrage
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.age import file as age
from recording.age.file import Identity, Recipient, open_file, open_parts
from recording.age.header import make_header
from recording.age.stream import CHUNK, PayloadWriter
from recording.errors import KeyTextError

SOME = settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
FEW = settings(max_examples=examples(10), deadline=None, suppress_health_check=list(HealthCheck))
WHO = [Identity.generate() for _ in range(20)]

sizes = st.builds(
    lambda chunks, more: max(0, chunks * CHUNK + more),
    st.integers(0, 3),
    st.integers(-2, 2) | st.integers(0, CHUNK),
)
contents = st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(), sizes)
groups = st.lists(st.sampled_from(WHO), min_size=1, max_size=20, unique=True)


def seal(data, recipients, block=CHUNK + 7):
    """Return header and payload, written in blocks as a recording is."""
    file_key = age.new_file_key()
    fd = os.memfd_create("payload")
    with os.fdopen(fd, "w+b") as file:
        with PayloadWriter(file.fileno(), file_key) as writer:
            for start in range(0, len(data), block):
                writer.write(data[start : start + block])
        file.seek(0)
        return make_header(file_key, recipients), file.read()


def recipients_of(identities):
    return [identity.recipient for identity in identities]


def theirs(identity):
    return pyrage.x25519.Identity.from_str(str(identity))


@given(content=contents, group=groups, block=st.sampled_from([1000, CHUNK, CHUNK + 7]))
@example(content=bytes(2 * CHUNK), group=WHO, block=CHUNK)
@SOME
def test_pyrage_opens_our_files_with_any_of_the_identities(content, group, block):
    joined = b"".join(seal(content, recipients_of(group), block))
    for identity in (group[0], group[-1]):
        assert pyrage.decrypt(joined, [theirs(identity)]) == content


@given(content=contents, group=groups, places=st.lists(st.integers(0, 4 * CHUNK), max_size=5))
@example(content=bytes(2 * CHUNK), group=WHO, places=[2 * CHUNK, 0])
@SOME
def test_files_of_pyrage_are_opened_whole_and_from_any_position(content, group, places):
    recipients = [pyrage.x25519.Recipient.from_str(str(each.recipient)) for each in group]
    sealed = pyrage.encrypt(content, recipients)
    for identity in group:
        reader = open_file(io.BytesIO(sealed), [identity])
        for place in places:
            reader.seek(place)
            assert reader.read(100) == content[place : place + 100][: CHUNK - place % CHUNK]
        reader.seek(0)
        assert reader.readall() == content


@given(content=contents, group=groups, data=st.data())
@SOME
def test_our_own_files_are_opened_whole_and_from_any_position(content, group, data):
    parts = seal(content, recipients_of(group))
    stranger = Identity.generate()
    for identity in group:
        header, payload = parts
        reader = io.BufferedReader(open_parts(header, io.BytesIO(payload), [stranger, identity]))
        start = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 2 * CHUNK))
        reader.seek(start - len(content), os.SEEK_END)
        assert reader.read(length) == content[start : start + length]
    assert open_file(io.BytesIO(b"".join(parts)), group).readall() == content


@pytest.mark.peer
@given(content=contents, group=groups, data=st.data())
@example(content=b"", group=WHO, data=None)
@FEW
def test_the_age_program_opens_our_files_with_any_of_the_identities(tmp_path, content, group, data):
    identity = group[-1] if data is None else data.draw(st.sampled_from(group))
    (tmp_path / "key.txt").write_text(f"# mine\n\n{identity}\n")
    joined = b"".join(seal(content, recipients_of(group)))
    command = ["age", "-d", "-i", tmp_path / "key.txt"]
    opened = subprocess.run(command, input=joined, capture_output=True, check=True)
    assert opened.stdout == content


@pytest.mark.peer
@given(content=contents, group=groups, place=st.integers(0, 4 * CHUNK))
@example(content=bytes(CHUNK), group=WHO, place=CHUNK - 1)
@FEW
def test_files_of_the_age_program_are_opened_whole_and_from_any_position(content, group, place):
    words = [word for each in group for word in ("-r", str(each.recipient))]
    sealed = subprocess.run(["age", *words], input=content, capture_output=True, check=True).stdout
    for identity in group:
        reader = open_file(io.BytesIO(sealed), [identity])
        reader.seek(place)
        assert reader.read(1) == content[place : place + 1]
        reader.seek(0)
        assert reader.readall() == content


@pytest.mark.peer
def test_age_keygen_and_galwad_compute_the_same_recipient_of_an_identity(tmp_path):
    made = subprocess.run(["age-keygen"], capture_output=True, text=True, check=True).stdout
    text = next(line for line in made.splitlines() if not line.startswith("#"))
    ours = Identity.parse(text)
    assert f"# public key: {ours.recipient}" in made.splitlines()
    (tmp_path / "ours").write_text(str(ours))
    shown = subprocess.run(["age-keygen", "-y", tmp_path / "ours"], capture_output=True, check=True)
    assert shown.stdout.decode().strip() == str(ours.recipient)


@pytest.mark.peer
def test_the_age_program_and_galwad_refuse_keys_in_the_wrong_case(tmp_path):
    identity = WHO[0]
    recipient = str(identity.recipient)
    (tmp_path / "lower").write_text(str(identity).lower())
    for command in (["age", "-r", recipient.upper()], ["age-keygen", "-y", tmp_path / "lower"]):
        assert subprocess.run(command, input=b"", capture_output=True, check=False).returncode == 1
    for parse, text in ((Recipient.parse, recipient), (Identity.parse, str(identity))):
        assert str(parse(text)) == text
        with pytest.raises(KeyTextError):
            parse(text.swapcase())
