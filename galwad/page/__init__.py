"""The advisors' page: its files, its texts in both languages, and its stream of events."""
