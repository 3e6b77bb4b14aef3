"""The switch process: SIP, media relay, gate and spool. It does no SQL, no HTTP, no audio decoding."""
