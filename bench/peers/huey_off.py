"""Huey on SQLite with ``fsync=False`` (``synchronous=OFF``), the fastest that it documents.

Nothing is flushed: a power cut may even damage the file, which dutiful's default does not allow. So dutiful
stands between this and ``huey``, and both are shown.
"""

from __future__ import annotations

from bench.peers.huey import Peer as Flushed
from bench.peers.huey import queue

huey, noop = queue(fsync=False)


class Peer(Flushed):
    name = "huey_off"
    rates = {"enqueue_one": 10_000, "enqueue_bulk": 10_000, "drain": 7_000}
    module = "bench.peers.huey_off"
    queue = huey
    task = staticmethod(noop)
