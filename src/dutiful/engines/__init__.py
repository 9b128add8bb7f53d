"""What runs an operation whole, inside one transaction, on one kind of database."""
