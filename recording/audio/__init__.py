"""Turns the RTP packets of a call into samples on one time axis, and stores them as FLAC.

It also silences card numbers that were keyed as tones, counts the packets, and stores the packets
that cannot be decoded.
"""
