"""Chaos: real processes, real faults, a log of what was done, and a count at the end (``./dev chaos``)."""
