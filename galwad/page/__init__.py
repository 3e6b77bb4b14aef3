"""The advisors' page: its files, its texts in both languages, and the stream of changes to it."""
