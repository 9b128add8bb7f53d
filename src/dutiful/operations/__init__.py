"""What can be done: each operation is a value that an engine runs in one transaction."""
