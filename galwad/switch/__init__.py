"""The switch process: SIP, media relay, recording gate and spool. No SQL, no HTTP, no audio decoding."""
