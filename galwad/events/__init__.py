"""Call events for other systems: an outbox that sends them as webhooks, and a stream to read."""
