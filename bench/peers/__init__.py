"""The systems that dutiful is measured against, one module each, at their best documented reliable settings.

Reliable means that an accepted job outlives a kill -9 of the worker wherever the system can promise that at
all; which settings were taken, and why, is said at the head of each module. One set of settings serves all
measures, so nobody is tuned for latency in one row and for throughput in the next.
"""
