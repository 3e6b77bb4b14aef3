"""Small real disks that tests fill and remove: an ext4 of some megabytes on a loop device."""

from __future__ import annotations

import contextlib
import os

from helpers.root import as_root


class Disk:
    """A separate file system, mounted at a folder."""

    def __init__(self, image, folder):
        self.folder, self._image = folder, image
        folder.mkdir(parents=True)
        self._device = as_root("losetup", "--find", "--show", str(image))
        self.mount()
        as_root("chown", f"{os.getuid()}:{os.getgid()}", str(folder))

    @classmethod
    def made(cls, image, folder, megabytes=8):
        """Return a new empty disk."""
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        as_root("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
        return cls(image, folder)

    @property
    def _filler(self):
        return self.folder / "filler"

    def mount(self):
        as_root("mount", self._device, str(self.folder))

    def vanish(self):
        """Unmount it while processes have files open there."""
        as_root("umount", "--lazy", str(self.folder))

    @contextlib.contextmanager
    def frozen(self):
        """Make writes hang within this context, as when the device does not answer."""
        as_root("fsfreeze", "--freeze", str(self.folder))
        try:
            yield
        finally:
            as_root("fsfreeze", "--unfreeze", str(self.folder))

    @contextlib.contextmanager
    def failing(self):
        """Make every write fail, within this context and after it."""
        self.fail()
        yield

    def fail(self):
        """Make every write fail, as ext4 does after an error of the device."""
        as_root("mount", "-o", "remount,abort", str(self.folder))

    def die(self):
        """Make every read and write fail, and drop what the kernel has cached."""
        os.truncate(self._image, 0)
        as_root("losetup", "--set-capacity", self._device)
        as_root("blockdev", "--flushbufs", self._device)

    def fill(self):
        """Fill it until not a byte is free."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as file:
            for block in (1 << 16, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(block)):
                        pass

    def free(self):
        self._filler.unlink()

    def copy(self, image):
        """Copy the device's content of one instant, as after a power cut.

        It is read again until no write came during the read: a power cut has only one instant.
        """
        before, now = None, self._image.read_bytes()
        while now != before:
            before, now = now, self._image.read_bytes()
        image.write_bytes(now)

    def end(self):
        if os.path.ismount(self.folder):
            as_root("umount", "--lazy", str(self.folder))
        as_root("losetup", "--detach", self._device)
