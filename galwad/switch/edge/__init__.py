"""The edge of the switch: who may call and register, floods, and the addresses that calls go to."""
