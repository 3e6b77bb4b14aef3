"""Live calls: state, screen-pop, pauses, control of phones; also alarms, call log and presence."""
