"""The database table `text_lists`. It has a row for each list that an administrator has changed."""

from __future__ import annotations

from sqlalchemy import Column, Float, MetaData, String, Table, Text

metadata = MetaData()

text_lists = Table(
    "text_lists",
    metadata,
    Column("name", String(32), primary_key=True),
    # A JSON list with the code, the English and the Welsh text of each entry. NULL if the list of
    # the settings counts again.
    Column("entries", Text),
    # The removed entries, in the same form, the newest first.
    Column("former", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Column("changed_by", String(64), nullable=False),
)
