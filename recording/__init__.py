"""What may be stored, and how it is kept, proved and found again. Knows nothing of SIP."""
