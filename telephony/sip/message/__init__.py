"""The parsing and writing of SIP messages and their parts (RFC 3261 sections 7, 19, 20 and 25)."""
