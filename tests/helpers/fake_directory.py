"""A directory of people whose answers the test decides."""

from __future__ import annotations

import asyncio


class Directory:
    """A directory that answers at once, after the event `go`, never, or with an error."""

    def __init__(self, name="crm", people=(), error=None, *, hangs=False, waits=False):
        self.name, self.people, self.error = name, people, error
        self.hangs, self.waits = hangs, waits
        self.has_extensions = False
        self.asked = []
        self.go = asyncio.Event()
        self.running = self.most = 0
        self.closed = False

    async def find(self, number):
        self.asked.append(number)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.hangs:
                await asyncio.Event().wait()
            if self.waits:
                await self.go.wait()
            if self.error is not None:
                raise self.error
            return list(self.people)
        finally:
            self.running -= 1

    async def close(self):
        self.closed = True


class SearchableDirectory(Directory):
    """A directory that can also be searched by a text. It looks only at names."""

    def __init__(self, *args, **more):
        super().__init__(*args, **more)
        self.texts = []

    async def search(self, text):
        self.texts.append(text)
        return [each for each in await self.find(None) if text.lower() in each.name.lower()]


class DirectoryWithContacts(Directory):
    """A directory that also has earlier contacts of its people, by the id of the record."""

    has_contacts = True

    def __init__(self, *args, contacts, **more):
        super().__init__(*args, **more)
        self.contacts = contacts
        self.contacts_asked = []

    async def contacts_of(self, record_id):
        self.contacts_asked.append(record_id)
        await self.find(None)
        return self.contacts.get(record_id, [])
