"""The desk process: HTTP API, advisors' page, lookup of callers, contact notes and audit chain.

The desk also has the index of recordings.
"""
