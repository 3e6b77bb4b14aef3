"""Call events for other systems: an outbox with signed requests, and a stream for machines."""
