"""Turns the RTP packets of a call into samples, and stores the samples in the recording's payload.

This package has the codecs, the time axis that the tracks of both parties share, and the FLAC
encoder.
"""
