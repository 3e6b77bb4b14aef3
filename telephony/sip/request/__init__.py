"""The requests that we send (RFC 3261 section 8.1): composition, and sending by UDP or TCP."""
