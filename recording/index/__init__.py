"""The database beside the archive: recordings, the ledger of answered calls, retention, coverage."""
