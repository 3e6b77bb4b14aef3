"""The identification of callers: numbers, directories, lookup, screen-pop, contact notes.

`card_number` finds payment card numbers in any text, also in texts that are not about callers.

This package depends neither on SIP nor on audio.
"""
