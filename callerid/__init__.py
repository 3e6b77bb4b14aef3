"""The identification of callers: numbers, directories, lookup, screen-pop, contact notes.

This package depends neither on SIP nor on audio.
"""
