"""Each change of the signed set of recipients is in the audit; an older set is an alarm."""

from __future__ import annotations

import pytest

from galwad.archive.periodic import RECIPIENTS_CHANGED, RecipientsWatch
from recording.age.file import Identity
from recording.audit.log import AuditLog
from recording.keys.keyring import OfficerKeys, RecipientSet, RecipientsFile


class Room:
    """An officer, the server's file, and the audit."""

    def __init__(self, engine, folder):
        self.officer = OfficerKeys.generate()
        self.file = folder / "recipients.json"
        self.audit = AuditLog(engine, "galwad", folder / "audit.key")

    def sign(self, serial, *keys, by=None):
        named = [(f"number {index}", key.recipient) for index, key in enumerate(keys)]
        self.set = RecipientSet.of(named, serial)
        self.file.write_bytes(self.set.sign((by or self.officer).signing))

    async def check(self):
        await RecipientsWatch(self.recipients, self.audit).check()

    @property
    def recipients(self):
        copies = (self.file.with_name("newest.json"), self.file.with_name("second.json"))
        return RecipientsFile(self.file, copies, self.officer.public_key)

    async def noted(self):
        return [
            entry.facts for entry in await self.audit.entries() if entry.kind == RECIPIENTS_CHANGED
        ]


@pytest.fixture
def room(engine, tmp_path):
    return Room(engine, tmp_path)


async def test_each_recipient_set_that_comes_into_force_is_audited_once(room):
    first, second = Identity.generate(), Identity.generate()
    room.sign(1, first)
    await room.check()
    await room.check()
    before = room.set
    room.sign(2, first, second)
    await room.check()
    noted = await room.noted()
    assert [facts["serial"] for facts in noted] == [1, 2]
    assert noted[0]["recipients"] == before.fingerprints[0]
    assert noted[1]["recipients"].split(",") == list(room.set.fingerprints)
    assert "number 0" not in str(noted)


async def test_an_older_recipient_set_that_is_put_back_raises_an_alarm(room):
    """The older set has a valid signature of the officer too."""
    first, second = Identity.generate(), Identity.generate()
    alarms: list = []

    async def check():
        await RecipientsWatch(room.recipients, room.audit, alarms.append).check()

    room.sign(1, first)
    old = room.file.read_bytes()
    await check()
    room.sign(2, second)
    await check()
    assert alarms == []
    room.file.write_bytes(old)
    await check()
    (alarm,) = alarms
    assert alarm.kind == "recipients.put_back"
    why = "set number 1 is refused, because number 2 is newer and in force"
    assert alarm.detail == why
    last = (await room.noted())[-1]
    assert (last["state"], last["serial"], last["put_back"], last["why"]) == ("in force", 2, 1, why)
    for copy in room.recipients.copies:
        copy.unlink()  # only the audit knows now that there was a newer set
    await check()
    assert alarms.pop().detail == "set number 1 is in force, but number 2 was in force before"
    room.officer = OfficerKeys.generate()  # another officer's serials begin at 1 again
    room.sign(1, first)
    await check()
    assert len(alarms) == 1


async def test_a_refused_or_missing_recipient_set_is_audited(room):
    room.sign(1, Identity.generate(), by=OfficerKeys.generate())
    await room.check()
    room.file.unlink()
    await room.check()
    room.sign(1, Identity.generate())
    await room.check()
    states = [facts["state"] for facts in await room.noted()]
    assert states == ["refused", "refused", "in force"]
