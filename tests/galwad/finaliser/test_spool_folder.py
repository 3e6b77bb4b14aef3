"""Foreign files in the spool folder, and a folder that fails: calls are sealed all the same.

Covers `galwad/finaliser/process.py` and `galwad/finaliser/sealer.py`.
"""

import os
import shutil

import pytest
import structlog

from galwad.finaliser.process import sealer_of
from galwad.messages import Alarm, Hello, Sealed, WaitingSpools
from helpers.root import as_root

FIRST = "20260301-090000-abcdefgh"
SECOND = "20260301-090500-bcdefghi"


def _old(path):
    os.utime(path, (1, 1), follow_symlinks=False)


@pytest.mark.parametrize("dated", [1, 4e9])
async def test_a_file_name_that_is_not_utf_8_is_reported_and_prevents_no_seal(site, dated):
    odd = site.spool / os.fsdecode(b"\xff\xfe.spool")
    odd.touch()
    os.utime(odd, (dated, dated))
    async with site.desk() as peer, site.running(look_round_s=0.05):
        while not (waiting := (await peer.next(WaitingSpools)).spools):
            continue
        assert [(spool.name, spool.call_id) for spool in waiting] == [(r"\xff\xfe.spool", "")]
        site.call(FIRST)
        assert (await peer.next(Sealed)).call_id == FIRST
    assert site.whole(FIRST)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, "is not a regular file"),
        (os.mkdir, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.symlink_to(path), "too many levels of symbolic links"),
        (lambda path: path.symlink_to("away"), "no such file or directory"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_bytes(bytes(4096)), "has no readable spool header"),
    ],
)
async def test_a_file_named_like_a_spool_that_is_no_spool_raises_an_alarm_and_delays_no_call(
    site, make, why
):
    stranger = site.spool / f"{SECOND}.1.spool"
    make(stranger)
    _old(stranger)
    async with site.desk() as peer, site.running(look_round_s=0.05):
        alarm = await peer.next(Alarm)
        assert (alarm.kind, alarm.call_id) == ("recording.not_sealed", SECOND)
        assert alarm.detail.endswith(why)
        path = site.call(FIRST)
        await peer.next(Sealed)
        await site.gone(path)
    assert stranger in set(site.spool.iterdir())


@pytest.mark.parametrize("name", [f"{SECOND}.1.spool", f"{FIRST}.2.spool"])
async def test_a_copied_or_renamed_spool_raises_an_alarm_and_is_not_sealed(site, name):
    first = site.call(FIRST)
    copy = site.spool / name
    shutil.copy(first, copy)
    async with site.desk() as peer, site.running(look_round_s=0.05):
        alarm = await peer.next(Alarm)
        assert alarm.kind == "recording.not_sealed"
        assert alarm.detail == f"{name} is a renamed or copied {first.name}: move it away"
        copy.unlink()
        await site.gone(first)
    assert site.whole(FIRST)


async def test_a_spool_that_cannot_be_deleted_raises_an_alarm_and_blocks_no_other_call(site):
    folder = str(site.spool)
    as_root("mount", "--bind", folder, folder)
    try:
        async with site.desk(index=False) as peer, site.running(look_round_s=0.05):
            await peer.next(Hello)
            first, second = site.call(FIRST), site.call(SECOND)
            as_root("mount", "-o", "remount,bind,ro", folder)
            peer.index = True
            told = [await peer.next(Alarm) for _ in range(2)]
            assert {(alarm.kind, alarm.detail) for alarm in told} == {
                ("spool.not_removed", "Read-only file system")
            }
            assert {alarm.call_id for alarm in told} == {FIRST, SECOND}
            as_root("mount", "-o", "remount,bind,rw", folder)
            await site.gone(first)
            await site.gone(second)
    finally:
        as_root("umount", "--lazy", folder)


async def test_a_missing_spool_folder_is_logged_and_searched_when_it_returns(site):
    away = site.spool.with_name("away")
    site.call(FIRST)
    site.spool.rename(away)
    with structlog.testing.capture_logs() as logs:
        async with site.desk() as peer, site.running(look_round_s=0.05):
            await site.until(lambda: "spools.not_seen" in {log["event"] for log in logs})
            away.rename(site.spool)
            assert (await peer.next(Sealed)).call_id == FIRST


def test_the_reasons_of_all_unreadable_spools_of_a_call_are_reported(site):
    (site.spool / f"{FIRST}.1.spool").mkdir()
    (site.spool / f"{FIRST}.2.spool").symlink_to("away")
    assert sealer_of(site.settings).unreadable(()) == {
        FIRST: f"{FIRST}.1.spool is not a regular file; {FIRST}.2.spool: no such file or directory"
    }
