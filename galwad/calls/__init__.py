"""Live calls: their state, the screen-pop, pauses, and the control of phones."""
