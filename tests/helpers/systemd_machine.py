"""A systemd that runs as process 1 in namespaces of its own, above a writable view of this system.

It sees the files of this machine, but its changes go into memory. It has a network with only a
loopback interface. Its processes end with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import site
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import galwad

SYSTEMD = "/usr/lib/systemd/systemd"
PATIENCE_S = 120.0
PRIVATE, PUBLIC = "10.9.8.7", "203.0.113.1"
"""Addresses of the loopback interface: one of a private network, one of the wide world."""

# The arguments of `_ENTER` are the name of a new control group, and a command that is run in it.
_ENTER = """\
set -e
mount -t cgroup2 cgroup2 /mnt
mkdir "/mnt/$1"
echo 0 >"/mnt/$1/cgroup.procs"
umount /mnt
shift
exec "$@"
"""
# The argument is the name of the control group.
_REMOVE_GROUP = """\
mount -t cgroup2 cgroup2 /mnt
find "/mnt/$1" -depth -type d -exec rmdir {} ";"
"""
# The arguments are: the folder for the machine, the base folder of Python, the folder of the
# installed packages, and the folder that contains the package galwad.
_BOOT = f"""\
set -e
folder=$1 base=$2 packages=$3 source=$4
mount -t tmpfs memory "$folder"
mkdir "$folder/upper" "$folder/work" "$folder/root"
root=$folder/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$root"
for each in proc sys run tmp dev; do umount -l "$root/$each" 2>/dev/null || true; done
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs memory "$root/run"
mount -t tmpfs memory "$root/tmp"
mount -t devtmpfs devices "$root/dev"
rm -rf "$root/var/lib/galwad" "$root/var/lib/private/galwad" "$root/etc/galwad" "$root/opt/galwad"
mkdir -p "$root/old" "$root/opt/python" "$root/opt/galwad/bin"
mkdir "$root/opt/galwad/packages" "$root/opt/galwad/source"
mount --bind "$base" "$root/opt/python"
mount --bind "$packages" "$root/opt/galwad/packages"
mount --bind "$source" "$root/opt/galwad/source"
ip link set lo up
ip address add {PRIVATE}/32 dev lo
ip address add {PUBLIC}/32 dev lo
cd "$root"
pivot_root . old
umount -l /old
mount --make-rshared /
ln -sf /dev/null /etc/systemd/system/systemd-udevd.service
echo 00000000000000000000000000000001 >/etc/machine-id
export container=galwad-test
exec {SYSTEMD} --system --unit=basic.target --log-target=console
"""


class Machine:
    """A running systemd. Use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        """Prepare a machine whose files are kept below an empty folder."""
        for program in (SYSTEMD, "unshare", "nsenter", "ip"):
            assert shutil.which(program), f"{program} is missing: apt-get install systemd iproute2"
        self._folder = folder
        self._group = f"galwad-test-{os.getpid()}-{folder.name}"
        self._root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        self._log = (folder.with_name(folder.name + ".log")).open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        self._init = 0

    def __enter__(self) -> Self:
        packages = next(each for each in site.getsitepackages() if Path(each).is_dir())
        source = Path(galwad.__file__).parents[1]
        spaces = ("--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--net")
        boot = ("unshare", *spaces, "--kill-child=SIGKILL", "sh", "-c", _BOOT, "boot")
        enter = ("unshare", "--mount", "sh", "-c", _ENTER, "enter", self._group)
        folders = (str(self._folder), sys.base_prefix, packages, str(source))
        self._process = subprocess.Popen(
            [*self._root, *enter, *boot, *folders],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._init = self._wait_until_booted(self._process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._remove_group()
        self._log.close()

    def _remove_group(self) -> None:
        """Remove the machine's control group, which is empty when the last process has ended."""
        command = ("unshare", "--mount", "sh", "-c", _REMOVE_GROUP, "remove", self._group)
        end = time.monotonic() + PATIENCE_S
        while True:
            done = subprocess.run([*self._root, *command], capture_output=True, check=False)
            if not done.returncode:
                return
            assert time.monotonic() < end, done.stderr
            time.sleep(0.1)

    def run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """Run a command on the machine as root, outside all units. Return its standard output."""
        done = subprocess.run(
            [*self._root, "nsenter", "--target", str(self._init), "--all", *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def write(self, path: str, text: str, mode: str = "0644") -> None:
        """Write a file on the machine."""
        self.run(
            "sh", "-c", f"mkdir -p {Path(path).parent} && umask 077 && cat >{path}", stdin=text
        )
        self.run("chmod", mode, path)

    def install_galwad(self) -> None:
        """Install the tested package as `/opt/galwad/bin/galwad`, and its Python beside it."""
        python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        # The library of a Python that is not Debian's may be in a folder that units do not see.
        start = (
            "#!/bin/sh\nexport LD_LIBRARY_PATH=/opt/python/lib\n"
            f"export PYTHONPATH=/opt/galwad/packages:/opt/galwad/source\nexec {python}"
        )
        self.write("/opt/galwad/bin/python", f'{start} "$@"\n', "0755")
        self.write("/opt/galwad/bin/galwad", f'{start} -m galwad "$@"\n', "0755")

    def journal(self, unit: str) -> str:
        """Return the log of a unit."""
        return self.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)

    def _wait_until_booted(self, process: subprocess.Popen[bytes]) -> int:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            assert process.poll() is None, Path(self._log.name).read_text(errors="replace")
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            for child in children:
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self._init = int(child)
                    state = self.run("systemctl", "is-system-running", check=False).strip()
                    if state in {"running", "degraded"}:
                        return self._init
            time.sleep(0.1)
        raise AssertionError(Path(self._log.name).read_text(errors="replace"))
