"""Files that a command writes appear complete or not at all, even if the command is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from galwad.cli.support import output_file
from galwad.cli.support.console import CliError
from galwad.cli.support.output_file import atomic_file, check_writable

KILLED = """
import os, signal, sys
from pathlib import Path
from galwad.cli.support.output_file import atomic_file
with atomic_file(Path(sys.argv[1]), replace=False) as file:
    file.write(b"what was said in the call")
    file.flush()
    os.kill(os.getpid(), {signal})
"""


@pytest.fixture(params=["nameless", "named"])
def _way(request, monkeypatch):
    """Both ways to write: an anonymous temporary file, and a named one where those do not work."""
    if request.param == "named":
        monkeypatch.setattr(output_file, "_NAMELESS", 0)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_command_leaves_no_file(tmp_path, number):
    script = KILLED.format(signal=int(number))
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "call.wav")], check=False, timeout=60
    )
    assert done.returncode == -number
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_way")
def test_an_atomic_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "x"
    with atomic_file(path, replace=False, mode=0o600) as file:
        file.write(b"one")
        assert not path.exists()
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o600)
    with pytest.raises(CliError, match="exists"), atomic_file(path, replace=False) as file:
        file.write(b"two")
    with atomic_file(path, replace=True) as file:
        file.write(b"three")
    assert path.read_bytes() == b"three"
    with pytest.raises(ValueError, match="us"), atomic_file(path, replace=True):
        raise ValueError("not us")
    assert path.read_bytes() == b"three"
    assert [each.name for each in tmp_path.iterdir()] == ["x"]


@pytest.mark.usefixtures("_way")
def test_a_pipe_or_folder_is_never_replaced(tmp_path):
    """For root, renaming a file to /dev/null would replace the device."""
    pipe = tmp_path / "null"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path, Path(), Path("/")):
        with (
            pytest.raises(CliError, match=" is "),
            atomic_file(place, replace=True),
        ):
            pass
    assert pipe.is_fifo()
    assert [each.name for each in tmp_path.iterdir()] == ["null"]


def test_an_unwritable_path_is_refused_in_advance(tmp_path):
    (tmp_path / "there").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name, why in (
        ("there", "exists"),
        ("link", "exists"),
        ("none/x", "not a folder"),
        ("there/x", "not a directory"),
        ("x" * 300, "name too long"),
    ):
        with pytest.raises(CliError, match=why):
            check_writable(tmp_path / name, replace=False)
    check_writable(tmp_path / "there", replace=True)
    check_writable(tmp_path / "new", replace=False)
    with pytest.raises(CliError, match="cannot create files in"):
        check_writable(Path("/proc/self/x"), replace=False)
