"""Contact notes: drafts, delivery to another system, and the earlier contacts of a caller."""
