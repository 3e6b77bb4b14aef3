"""A bag is valid for the stock library of BagIt, and a change makes it invalid."""

from __future__ import annotations

import io
import tarfile

import bagit
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.examples import examples
from recording.archive.bag import BagWriter

FILES = {"letter.html": b"<p>T\xc5\xb7</p>", "empty": b"", "sub/large": bytes(100_000)}


def bag(files, info):
    target = io.BytesIO()
    writer = BagWriter(target, "call", 1_796_220_282)
    for name, content in files.items():
        writer.add(name, content)
    writer.close(info)
    return target.getvalue()


def unpacked(content, folder):
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(folder, filter="data")
    return folder / "call"


def test_a_bag_is_valid_and_has_its_files(tmp_path):
    folder = unpacked(bag(FILES, {"Bagging-Date": "2026-12-02"}), tmp_path)
    found = bagit.Bag(str(folder))
    found.validate()
    assert found.version_info == (1, 0)
    assert {name: (folder / "data" / name).read_bytes() for name in FILES} == FILES
    assert found.info["Payload-Oxum"] == "100010.3"
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o644}


@pytest.mark.parametrize("name", ["bag-info.txt", "data/letter.html", "manifest-sha256.txt"])
def test_a_changed_or_missing_file_makes_a_bag_invalid(tmp_path, name):
    folder = unpacked(bag(FILES, {"Bagging-Date": "2026-12-02"}), tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes().replace(b"2", b"3").replace(b"p", b"q"))
    with pytest.raises(bagit.BagError):
        bagit.Bag(str(folder)).validate()
    path.unlink()
    with pytest.raises(bagit.BagError):
        bagit.Bag(str(folder)).validate()


@settings(max_examples=examples(30), deadline=None)
@given(st.text(max_size=100))
def test_no_value_of_the_bag_info_can_add_a_line(value):
    with tarfile.open(fileobj=io.BytesIO(bag({}, {"Reference": value}))) as tar:
        file = tar.extractfile("call/bag-info.txt")
        assert file is not None
        lines = file.read().decode("utf-8", "surrogatepass").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["Reference", "Payload-Oxum"]
