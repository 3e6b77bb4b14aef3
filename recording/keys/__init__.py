"""The keys of officers and nodes, the signed set of recipients, and signed documents."""
