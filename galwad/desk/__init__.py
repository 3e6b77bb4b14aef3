"""The desk process: HTTP API, advisors' page, lookup of callers, contact notes, audit and index."""
