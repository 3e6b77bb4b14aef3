"""Call events for other systems: signed HTTP requests, sent from an outbox in the database."""
