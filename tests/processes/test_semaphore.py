"""Ruby and ours share one semaphore through kills; the long campaign is in docs/design/locks.md."""

from __future__ import annotations

import pytest

from devtools.servers import RedisServer
from tests.processes.semaphore import campaign, judged


@pytest.mark.ruby
def test_ruby_and_ours_share_three_slots_through_kills(redis_server: RedisServer) -> None:
    redis_server.flush()
    came = campaign(redis_server.port, turns=120, seed=3)
    assert came["over_at_our_grants"] == 0 and came["numbers_twice"] == 0
    assert came["turns_ours"] and came["turns_ruby"] and came["killed"]["ours"] + came["killed"]["ruby"]


def test_the_judge_sees_a_fourth_holder() -> None:
    took = [{"who": f"ruby {n}", "token": str(n), "at": float(n), "what": "took"} for n in range(3)]
    gives = [{**line, "at": 9.0 + n, "what": "gives"} for n, line in enumerate(took)]
    fourth = {"who": "ours 9", "token": "7", "at": 4.0, "what": "took"}
    assert judged([*took, fourth, *gives])["over_at_our_grants"] == 0  # they hold for longer than may be
    gives = [{**line, "at": 4.5, "what": "gives"} for line in took]
    assert judged([*took, fourth, *gives])["over_at_our_grants"] == 1
