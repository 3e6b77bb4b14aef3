"""The changed lists of texts in the database."""

from __future__ import annotations

from galwad.texts.rules import TextEntry
from galwad.texts.store import StoredTexts, TextStore

LUNCH = TextEntry("lunch", "Lunch", "Cinio")


async def test_a_stored_list_replaces_the_stored_list_of_the_same_name(engine):
    store = TextStore(engine)
    first = StoredTexts((LUNCH,), (), 1.0, "gwen")
    second = StoredTexts(None, (LUNCH,), 2.0, "mair")
    await store.save("breaks", first)
    await store.save("purposes", first)
    await store.save("breaks", second)
    assert await TextStore(engine).all() == {"breaks": second, "purposes": first}
