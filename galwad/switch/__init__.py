"""The switch process: SIP, media relay, gate and spool.

The switch does not use SQL or HTTP, and does not decode audio.
"""
