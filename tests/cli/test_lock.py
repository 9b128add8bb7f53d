"""``dutiful lock``: who holds and who waits, and taking a lock from a holder."""

from __future__ import annotations

import threading

from dutiful.model.errors import LockLost
from tests.cli.conftest import Shop
from tests.contract.test_locks import until


def test_locks_are_listed_and_broken(shop: Shop) -> None:
    app, lost = shop.app, []
    app.migrate()
    assert "No lock is held" in shop("lock", "list").err

    def second() -> None:
        with app.lock("import", slots=1) as held:
            lost.append(held.grant_no)

    waiter = threading.Thread(target=second)
    try:
        with app.lock("import"):
            waiter.start()
            until(lambda: len(app.keeper.store.listed("shop")) == 2)
            listed = shop("lock", "list")
            assert listed.code == 0 and "1 of 1" in listed.out and "waits" in listed.out
            document = shop("lock", "list", "import", "--json").document
            assert document["schema"] == "dutiful/lock.list/1"
            assert [one["grant_no"] for one in document["locks"]] == [1, None]
            refused = shop("lock", "break", "import", "--reason", "hung")
            assert refused.code == 5 and "which renewed it in time" in refused.err
            assert shop("lock", "break", "import", "--reason", "x", "--grant", "7", "--yes").code == 5
            taken = shop("lock", "break", "import", "--reason", "hung", "--yes", "--as", "ann", "--json")
            assert taken.document["broken"][0]["grant_no"] == 1
            waiter.join()
        raise AssertionError
    except LockLost:
        pass
    assert lost == [2]
    assert "DE580" in shop("lock", "break", "import", "--reason", "hung").err
    app.close()
