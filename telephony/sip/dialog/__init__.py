"""Dialogs (RFC 3261 section 12): their state, their creation and the next hop of their requests."""
