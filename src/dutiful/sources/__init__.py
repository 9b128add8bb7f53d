"""What other systems were asked to do, or gave up on, as the expected side of a reconciliation."""

from .sql_table import SqlTable

__all__ = ["SqlTable"]
