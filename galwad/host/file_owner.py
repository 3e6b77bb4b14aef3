"""Finds the user that runs the services, and makes this user the owner of a node's files."""

from __future__ import annotations

from galwad.settings import Settings
from recording.files.foreign import Owner, give_to


def service_owner(settings: Settings) -> Owner | None:
    """Return the user that runs the services; None if all folders of the node belong to root.

    The owners of the node's folders are examined one after another. The first of them that is not
    root is returned. The archive folder is examined last: rsync may have copied the archive from
    another host, together with the owner on that host.
    """
    state = settings.node.state
    ours = (state / "finaliser", settings.database.parent)
    places = (*ours, *settings.spool_folders, state / "switch", settings.archive)
    owners = [Owner.of(place) for place in places if place.exists()]
    return next((each for each in owners if each.uid != 0), None)


def give_to_service(settings: Settings, owner: Owner | None) -> None:
    """Make `owner` the owner of the folders that a restore writes; None changes nothing."""
    if owner is None:
        return
    for folder in (
        settings.node.state / "finaliser",
        settings.database.parent,
        settings.archive,
    ):
        if folder.exists():
            give_to(owner, folder)
