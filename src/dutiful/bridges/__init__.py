"""Other systems' stores, for those who have them: locks in Redis."""
