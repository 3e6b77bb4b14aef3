"""The transaction layer (RFC 3261 section 17): its state machines, timers and queues."""
