"""Turns the RTP packets of a call into samples on one time axis, and stores them as FLAC."""
