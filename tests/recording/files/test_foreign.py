"""Files in folders of another user: links lead nowhere, and writes have the owner's rights."""

import os
import stat

import pytest

from helpers.root import as_root, python_as_root
from recording.files.foreign import (
    ForeignFileError,
    Owner,
    check_path,
    make_foreign_folder,
    read_foreign,
)

NOBODY = 65534


def given_to_nobody(*paths):
    as_root("chown", "-h", f"{NOBODY}:{NOBODY}", *map(str, paths))


@pytest.fixture
def secret(tmp_path):
    """A file that only we may use."""
    path = tmp_path / "secret"
    path.write_text("only ours")
    path.chmod(0o600)
    return path


def test_a_file_is_read_through_links_of_our_own_user(tmp_path, secret):
    (tmp_path / "to-file").symlink_to("secret")
    (tmp_path / "to-folder").symlink_to(tmp_path)
    (tmp_path / "around").symlink_to("to-folder/./to-file")
    for name in ("secret", "to-file", "to-folder/secret", "around", "./x/../secret"):
        assert read_foreign(tmp_path / name) == b"only ours"


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_link_that_another_user_made_is_not_followed(tmp_path, secret, place):
    link = tmp_path / "link"
    link.symlink_to(secret if place == "file" else tmp_path)
    given_to_nobody(link)
    path = link if place == "file" else link / "secret"
    for refuse in (read_foreign, check_path, Owner.of):
        with pytest.raises(ForeignFileError) as raised:
            refuse(path)
        assert raised.value.filename == str(path)
    if place == "folder":
        with pytest.raises(ForeignFileError):
            make_foreign_folder(link / "new")
        assert not (tmp_path / "new").exists()


def test_a_dangling_link_of_another_user_makes_no_folder(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new")
    given_to_nobody(link)
    with pytest.raises(ForeignFileError):
        make_foreign_folder(link)
    assert not (tmp_path / "new").exists()


def test_a_hard_link_in_another_users_folder_is_not_read(tmp_path, secret):
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "name").hardlink_to(secret)
    assert read_foreign(folder / "name") == b"only ours"
    given_to_nobody(folder)
    folder.chmod(0o755)
    with pytest.raises(ForeignFileError):
        read_foreign(folder / "name")


def test_a_pipe_or_folder_is_not_read_and_delays_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ForeignFileError):
            read_foreign(path)


def test_links_in_a_circle_and_missing_files_raise_os_error(tmp_path):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        read_foreign(tmp_path / "one")
    with pytest.raises(FileNotFoundError) as raised:
        read_foreign(tmp_path / "none")
    assert raised.value.filename == str(tmp_path / "none")
    check_path(tmp_path / "none")


WRITES = """
import os, sys
from pathlib import Path
from recording.files.foreign import owner_rights

folder, secret = map(Path, sys.argv[1:])
before = os.getgroups()


def refused(path):
    try:
        path.write_text("overwritten")
    except PermissionError:
        return True


with owner_rights(folder):
    (folder / "made").write_text("x")
    assert secret.read_text() == "only ours"  # it may read, as systemd's folders need it
    assert refused(folder / "planted")
    assert refused(folder.parent / "beside")
(folder.parent / "beside").write_text("x")
assert (os.geteuid(), os.getegid(), os.getgroups()) == (0, 0, before)
"""


def test_root_writes_with_the_rights_of_the_folders_owner_and_regains_its_own_rights(
    tmp_path, secret
):
    folder = tmp_path / "service"
    folder.mkdir()
    (folder / "planted").symlink_to(secret)
    given_to_nobody(folder)
    as_root("chown", "0", str(tmp_path), str(secret))
    done = python_as_root("-c", WRITES, folder, secret)
    assert (done.returncode, done.stderr) == (0, "")
    assert as_root("stat", "-c", "%u", str(folder / "made")) == str(NOBODY)
    assert as_root("cat", str(secret)) == "only ours"


GIVES = """
import sys
from pathlib import Path
from recording.files.foreign import Owner, give_to

give_to(Owner(65534, 65534), Path(sys.argv[1]))
"""


def test_files_are_given_to_their_owner_except_those_behind_links(tmp_path, secret):
    folder = tmp_path / "service"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "ours").write_text("x")
    (folder / "link").symlink_to(secret)
    (folder / "outside").symlink_to(tmp_path)
    (folder / "second-name").hardlink_to(secret)
    done = python_as_root("-c", GIVES, folder)
    assert (done.returncode, done.stderr) == (0, "")
    given = as_root("find", str(folder), "-uid", str(NOBODY)).splitlines()
    assert sorted(given) == sorted(map(str, (folder, folder / "inner", folder / "inner" / "ours")))
    assert secret.stat().st_uid == tmp_path.stat().st_uid == os.getuid()


def test_a_new_folder_behind_a_link_of_our_own_is_made_where_the_link_points(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "private")
    make_foreign_folder(link / "inner")
    assert stat.S_ISDIR((tmp_path / "private" / "inner").stat().st_mode)
