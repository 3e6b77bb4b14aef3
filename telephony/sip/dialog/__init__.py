"""Dialogs (RFC 3261 section 12): state, creation and the next hop of requests in a dialog."""
