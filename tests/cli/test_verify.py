"""``verify`` beside what it finds itself: what workers found, and what cannot be looked at."""

from __future__ import annotations

from dutiful.operations import verify
from dutiful.worker import verifying
from tests.cli.conftest import Shop
from tests.contract.planting import planted
from tests.contract.stores import opened, write


def test_what_a_worker_found_is_told_until_a_look_at_every_row(shop: Shop) -> None:
    id = shop.enqueue("charge", "order_id=1")
    with opened(shop.url) as engine:
        write(engine, "UPDATE dutiful.job SET lane = lane + 1")
        [_] = verifying.look_over(engine, "shop", 0.5)
        write(engine, "UPDATE dutiful.job SET lane = lane - 1")
    found = shop("verify")
    assert (
        found.code == 1 and "lane  1 job stood in a lane that is not there, found by a worker 2" in found.out
    )
    assert id in found.out and "1 invariant is broken" in found.err
    document = shop("verify", "--json").document
    assert document["findings"] == [] and [one["invariant"] for one in document["noted"]] == ["lane"]
    assert shop("verify", "--full").code == 0
    assert shop("verify").code == 0


def test_a_check_that_cannot_be_made_is_no_good_news(shop: Shop) -> None:
    shop.enqueue("charge", "order_id=1")
    with planted(shop.app.engine.name, {"verify_ready": [("SELECT", "SELECT nothing,")]}):
        found = shop("verify")
        document = shop("verify", "--json").document
    count = len(verify.CHECKS)
    assert (found.code, found.out.partition(",")[0]) == (
        3,
        f"Cannot say: {count - 1} of {count} checks could be made",
    )
    assert "Not checked: ready (verify_ready). " in found.err
    assert [one["check"] for one in document["unsaid"]] == ["ready (verify_ready)"]


def test_work_in_other_databases_is_said_not_to_be_looked_at(shop: Shop) -> None:
    shop.enqueue("charge", "order_id=1")
    shop.run_all()
    with opened(shop.url) as engine:
        write(engine, "UPDATE dutiful.history SET delivery = 'exactly_once', reason = 'in books'")
    found = shop("verify")
    assert found.code == 0 and "whether the work of 1 job is in 'books'" in found.err
    assert shop("verify", "--json").document["elsewhere"] == {"books": 1}
