"""The requests that we send: composition, transport and transactions (RFC 3261 section 8.1)."""
