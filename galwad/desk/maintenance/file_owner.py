"""The owner of a restored node's files."""

from __future__ import annotations

import os

from config.settings import Settings


def chown_to_service(settings: Settings) -> None:
    """Change the owner of the restored node's files to the user of the services.

    This is done only for root. That user is found as the owner of one of the services' folders: the
    first folder whose owner is not root decides. The archive folder is looked at last, because
    rsync may have copied it with an owner from another host.
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
