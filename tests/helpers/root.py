"""Commands that only root may give: mounts, loop devices, owners, and our own code as root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from helpers.processes import run_galwad


def as_root(*command):
    """Run it, by `sudo` if we are somebody else; its standard output. It must succeed."""
    assert shutil.which(command[0]), f"{command[0]} is missing: apt-get install e2fsprogs mount"
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run([*root, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr} (mounting a disk needs root)"
    return done.stdout.strip()


def python_as_root(*arguments):
    """Run Python as root, by `sudo` if we are somebody else; return the finished process."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    command = [*root, sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def galwad_as_root(*arguments):
    """Run `galwad` as root, and return the finished process; fork it if we are root."""
    if os.geteuid() == 0:
        return run_galwad(*arguments)
    return python_as_root("-m", "galwad", *arguments)
