"""Changes the owner of a restored node's files to the user that runs the services."""

from __future__ import annotations

import os

from config.settings import Settings


def chown_to_service(settings: Settings) -> None:
    """Change the owner of the restored node's files to the user that runs the services.

    If the process does not run as root, do nothing. The owners of the node's folders are examined
    one after another. The first of these owners that is not root becomes the new owner. The archive
    folder is examined last: rsync may have copied the archive from another host, together with the
    owner on that host.
    """
    if os.geteuid() != 0:
        return
    state, archive = settings.node.state, settings.archive
    ours = (state / "finaliser", settings.database.parent)
    places = (*ours, *settings.spool_folders, state / "switch", archive)
    owners = [place.stat() for place in places if place.exists()]
    owner = next((each for each in owners if each.st_uid != 0), None)
    if owner is None:
        return
    for folder in (*ours, archive):
        for path in (folder.resolve(), *folder.rglob("*")):
            if path.lstat().st_uid != owner.st_uid:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
