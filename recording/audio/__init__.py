"""Turns a call's RTP packets into samples on one time axis; silences card numbers, writes FLAC."""
