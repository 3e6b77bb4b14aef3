"""The transaction layer (RFC 3261 section 17): its state machines, its timers and its queues."""
