"""The requests that we send: their composition, transport and transactions (RFC 3261 8.1)."""
