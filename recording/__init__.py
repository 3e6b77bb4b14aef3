"""Decides what of a call may be stored; stores, proves and finds recordings. Knows no SIP."""
