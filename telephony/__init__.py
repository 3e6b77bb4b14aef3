"""SIP, SDP and RTP. Knows nothing of recordings, customer records or HTTP."""
