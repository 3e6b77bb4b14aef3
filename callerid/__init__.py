"""Who is calling: numbers, directories, lookup, the screen-pop and the contact history.

Knows nothing of SIP or audio.
"""
