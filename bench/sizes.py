"""How long to measure: ``--quick`` is some minutes, the default about an hour, ``--full`` many hours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """``seconds`` is how long one enqueue or drain should take, by the rate each system expects of itself."""

    name: str
    rounds: int
    seconds: float
    latency_jobs: int
    idle_s: float
    """A minute holds every chore of ours; fewer seconds count those of a worker that just started, too."""
    held_churn: int
    held_peer_rounds: int
    """In how many rounds the peers take part there: theirs take long, and differ from ours by far."""
    held_peers_s: float
    """How long a peer may churn; slower ones than 300,000 jobs in that time are shown with their number."""
    verify_stock: int
    """How many endings lie in the store that the checker looks at."""
    verify_s: float
    """How long a drain beside it takes; four are made."""
    state_stock: int
    """How many finished, waiting or scheduled jobs are in the way."""
    state_s: float
    """How long is drained among them: what a worker does once at its start should not count."""
    state_rounds: int
    """In how many rounds full stores, pruning and a worker's memory are measured: their stores take long."""
    state_peers: bool
    """Whether the peers are measured among a million finished or waiting jobs, too."""
    memory_first: int
    memory_last: int
    """After how many jobs a worker's memory is read."""
    stream_jobs: int
    """How many a generator gives to one bulk."""
    timeout_s: float


QUICK = Sizes(
    name="quick",
    rounds=1,
    seconds=0.4,
    latency_jobs=50,
    idle_s=4,
    held_churn=20_000,
    held_peer_rounds=0,
    held_peers_s=0,
    verify_stock=20_000,
    verify_s=1,
    state_stock=20_000,
    state_s=0.5,
    state_rounds=1,
    state_peers=False,
    memory_first=2_000,
    memory_last=10_000,
    stream_jobs=20_000,
    timeout_s=60,
)
DEFAULT = Sizes(
    name="default",
    rounds=3,
    seconds=1.5,
    latency_jobs=250,
    idle_s=60,
    held_churn=300_000,
    held_peer_rounds=1,
    held_peers_s=10,
    verify_stock=1_000_000,
    verify_s=4,
    state_stock=1_000_000,
    state_s=10,
    state_rounds=1,
    state_peers=False,
    memory_first=10_000,
    memory_last=200_000,
    stream_jobs=200_000,
    timeout_s=240,
)
FULL = Sizes(
    name="full",
    rounds=5,
    seconds=5,
    latency_jobs=1_000,
    idle_s=60,
    held_churn=300_000,
    held_peer_rounds=2,
    held_peers_s=1_200,
    verify_stock=1_000_000,
    verify_s=15,
    state_stock=1_000_000,
    state_s=60,
    state_rounds=3,
    state_peers=True,
    memory_first=10_000,
    memory_last=1_000_000,
    stream_jobs=1_000_000,
    timeout_s=1_800,
)
