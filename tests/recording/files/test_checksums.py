"""The list of a folder's digests, and the check that no other user can change the folder."""

import subprocess

import pytest

from helpers.root import as_root
from recording.files.checksums import (
    ChecksumError,
    check_checksums,
    check_private,
    write_checksums,
)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "one").write_bytes(b"1")
    (folder / "inner" / "two").write_bytes(b"2")
    return folder


def check(folder, digest):
    check_checksums(folder, "SUMS", digest, ignored={"index"}, may_lack=lambda name: name == "one")


def test_an_unchanged_folder_passes_here_and_with_sha256sum(folder):
    digest = write_checksums(folder, "SUMS")
    (folder / "index").write_text("not in the list")
    check(folder, digest)
    done = subprocess.run(["sha256sum", "-c", "--strict", "SUMS"], cwd=folder, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: (folder / "one").write_bytes(b"x"), "one was changed"),
        (lambda folder: (folder / "inner" / "new").touch(), "inner/new is not in the list"),
        (lambda folder: (folder / "inner" / "two").unlink(), "inner/two is missing"),
        (lambda folder: (folder / "SUMS").write_text(""), "SUMS was changed"),
    ],
)
def test_a_changed_folder_is_refused(folder, change, text):
    digest = write_checksums(folder, "SUMS")
    change(folder)
    with pytest.raises(ChecksumError, match=text):
        check(folder, digest)


def test_a_file_that_may_be_missing_is_not_refused(folder):
    digest = write_checksums(folder, "SUMS")
    (folder / "one").unlink()
    check(folder, digest)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda folder: (folder / "link").symlink_to("one"), "link is not a plain file"),
        (lambda folder: (folder / "one").chmod(0o666), "another user can change .*one"),
        (lambda folder: (folder / "inner").chmod(0o777), "another user can change .*inner"),
        (lambda folder: folder.chmod(0o775), "another user can change .*folder"),
        (lambda folder: folder.parent.chmod(0o777), "another user can change"),
        (lambda folder: as_root("chown", "65534", f"{folder}/inner/two"), "another .*inner/two"),
    ],
)
def test_a_folder_that_another_user_can_change_is_refused(folder, change, text):
    check_private(folder)
    change(folder)
    with pytest.raises(ChecksumError, match=text):
        check_private(folder)


def test_a_folder_in_a_sticky_folder_such_as_tmp_is_accepted_as_private(folder):
    folder.parent.chmod(0o1777)
    check_private(folder)
