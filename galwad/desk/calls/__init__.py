"""Live calls: their state and events for the advisors' pages, and the link to the switch."""
