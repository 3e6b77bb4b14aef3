"""Identification of callers: numbers, directories, lookup, the screen-pop, the contact history.

This package depends on neither SIP nor audio.
"""
