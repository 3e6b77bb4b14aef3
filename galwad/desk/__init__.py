"""The desk: HTTP API, the advisors' page, lookups, notes, audit chain and index of recordings."""
