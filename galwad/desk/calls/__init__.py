"""Live calls: their state, their events for the advisors' pages, and the link to the switch."""
