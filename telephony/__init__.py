"""SIP, SDP and RTP. The package `telephony` does not use recordings, customer records or HTTP."""
