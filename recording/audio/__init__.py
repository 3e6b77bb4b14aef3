"""Turns RTP packets into samples on one time axis, silences card numbers and writes FLAC."""
