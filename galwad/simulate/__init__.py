"""`galwad simulate`: simulated calls, which look like real calls to the server."""
