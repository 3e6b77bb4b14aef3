"""Call events that machines read as a stream from the desk, and the events kept for a replay."""
