"""How long to measure: ``--quick`` is a minute and a half, the default ten, ``--full`` some hours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """``seconds`` is how long one enqueue or drain should take, by the rate each system expects of itself."""

    rounds: int
    seconds: float
    latency_jobs: int
    idle_s: float
    held_churn: int
    held_peer_rounds: int
    """In how many rounds the peers take part there: theirs take long, and differ from ours by far."""
    held_peers_s: float
    """How long a peer may churn; slower ones than 300,000 jobs in that time are shown with their number."""
    verify_stock: int
    """How many endings lie in the store that the checker looks at."""
    verify_s: float
    """How long a drain beside it takes; four are made."""
    timeout_s: float


QUICK = Sizes(
    rounds=1,
    seconds=0.4,
    latency_jobs=25,
    idle_s=4,
    held_churn=20_000,
    held_peer_rounds=0,
    held_peers_s=0,
    verify_stock=20_000,
    verify_s=1,
    timeout_s=60,
)
DEFAULT = Sizes(
    rounds=3,
    seconds=1.5,
    latency_jobs=100,
    idle_s=10,
    held_churn=300_000,
    held_peer_rounds=1,
    held_peers_s=10,
    verify_stock=1_000_000,
    verify_s=4,
    timeout_s=240,
)
FULL = Sizes(
    rounds=5,
    seconds=5,
    latency_jobs=300,
    idle_s=60,
    held_churn=300_000,
    held_peer_rounds=2,
    held_peers_s=1_200,
    verify_stock=1_000_000,
    verify_s=15,
    timeout_s=1_800,
)
