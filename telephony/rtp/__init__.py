"""RTP, RTCP (RFC 3550), SRTP (RFC 3711) and telephone events (RFC 4733). No I/O, no clock."""
