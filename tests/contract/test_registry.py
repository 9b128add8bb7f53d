"""The registry of tasks: what each release says, the newest first, as the app declares it."""

from __future__ import annotations

from dutiful import App
from dutiful.operations import registry
from dutiful.worker.bookkeeping import declared_of
from tests.contract.stores import APP
from tests.contract.world import DAY, World


def declared(owner: str, **facts: object) -> registry.Declared:
    return registry.Declared("send", 2, "mail", 5, owner, "at_least_once", facts)


def test_each_release_says_its_own_and_the_last_comes_first(store_world: World) -> None:
    world = store_world
    world.run(registry.register(APP, "r1", [declared("ann", retry=3)]))
    world.clock.advance(DAY)
    world.run(registry.register(APP, "r2", [declared("bob", retry=0)]))
    world.clock.advance(DAY)
    world.run(registry.register(APP, "r2", [declared("eve", retry=0)]))
    new, old = world.run(registry.tasks(APP))
    assert (new.release, new.owner, new.facts) == ("r2", "eve", {"retry": 0})
    assert (old.release, old.owner, old.facts) == ("r1", "ann", {"retry": 3})
    assert new.seen_at_us - new.first_at_us == DAY and old.seen_at_us == old.first_at_us
    assert world.run(registry.tasks("other")) == []
    world.clock.advance(91 * DAY)
    world.run(registry.register("other", "r1", [declared("ann")]))
    assert len(world.run(registry.tasks(APP))) == 2, "another app forgets nothing of ours"
    world.run(registry.register(APP, "r3", []))
    assert [one.release for one in world.run(registry.tasks(APP))] == ["r2"]


def test_a_declaration_is_kept_whole() -> None:
    app = App("shop", "sqlite:///:memory:")

    @app.task(once="receipt:{order}", queue="mail", priority=7, retry=2, timeout="5s", owner="billing")
    def receipt(order: int) -> None: ...

    found = declared_of(receipt)
    assert (found.queue, found.priority, found.owner, found.version) == ("mail", 7, "billing", 1)
    assert found.facts["once"] == "receipt:{order}" and found.facts["retry"] == 2
    assert found.facts["timeout_us"] == 5_000_000 and found.facts["lookup"] is False
