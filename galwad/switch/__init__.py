"""The switch process: SIP, media relay, gate and spool.

It does not use SQL or HTTP, and does not decode audio.
"""
