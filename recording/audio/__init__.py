"""Turns the RTP packets of a call into samples, and stores the samples in the recording's payload.

It has the codecs, the time axis that both parties' tracks share, and the encoder for FLAC.
"""
