"""Identification of callers: numbers, directories, lookup, the screen-pop, the contact history.

Nothing here depends on SIP or audio.
"""
