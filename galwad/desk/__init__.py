"""The desk process: HTTP API, advisors' page, lookup, contacts, audit and index."""
