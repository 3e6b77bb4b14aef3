"""Recordings: which media may be stored, how it is stored, verified and found. SIP is elsewhere."""
