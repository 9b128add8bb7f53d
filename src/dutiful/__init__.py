"""Background jobs whose effects happen once."""
