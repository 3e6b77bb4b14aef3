"""Recordings: which media may be stored, and how recordings are stored, verified and found.

SIP is not part of this package.
"""
