"""Commands of the system that only root may give: mounts, loop devices, owners."""

from __future__ import annotations

import os
import shutil
import subprocess


def as_root(*command):
    """Run it, by `sudo` if we are somebody else; its standard output. It must succeed."""
    assert shutil.which(command[0]), f"{command[0]} is missing: apt-get install e2fsprogs mount"
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    done = subprocess.run([*root, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr} (mounting a disk needs root)"
    return done.stdout.strip()
