"""The calls on the advisors' pages: their state, their events, and the link to the switch."""
