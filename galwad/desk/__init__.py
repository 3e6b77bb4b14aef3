"""The desk process.

The desk serves the HTTP API and the advisors' page, looks callers up, and stores the contact notes,
the audit chain and the index of recordings.
"""
