"""Recordings: which media may be stored, and how they are stored, verified and found."""
