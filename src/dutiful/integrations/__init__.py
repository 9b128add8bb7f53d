"""Other libraries' own ways, each by an extra of its name."""
