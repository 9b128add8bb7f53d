"""The lanes by name, for those who must not load the jobs."""

LANES = ("exactly", "at_most", "by_id", "two_tx")
CONTROLS = ("by_id", "two_tx")
