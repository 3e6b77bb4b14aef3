"""The people and machines that use Galwad: users, their tokens, and what may be done to them."""
