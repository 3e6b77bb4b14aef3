"""RTP and RTCP (RFC 3550), SRTP (RFC 3711) and telephone events (RFC 4733).

This package does no input or output, and reads no clock.
"""
