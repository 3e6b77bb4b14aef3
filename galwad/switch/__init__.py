"""The switch process: SIP, media relay, gate and spool. No SQL, no HTTP, no audio decoding."""
