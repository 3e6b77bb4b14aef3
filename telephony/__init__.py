"""SIP, SDP and RTP. This package does not use recordings, customer records or HTTP."""
