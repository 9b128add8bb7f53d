"""Who watches, and when each last looked: a chore says so at its end. Who is silent is not believed."""

from __future__ import annotations

from msgspec import Struct

from .plan import Call, Steps, operation, query


class Watcher(Struct, frozen=True):
    """One who looks every ``period_us``; last at ``last_at_us``. ``app`` is "" for who looks after all."""

    app: str
    name: str
    period_us: int
    last_at_us: int
    note: str
    now_us: int

    @property
    def silent(self) -> bool:
        """Whether three of its periods went by without a look."""
        return self.now_us - self.last_at_us > 3 * self.period_us


@operation
def beat(name: str, period_us: int, *, app: str = "", note: str = "") -> Steps[None]:
    """Say that a watcher has looked, just now, and does so every ``period_us``."""
    yield Call("beat_watcher", {"app": app, "name": name, "period": period_us, "note": note}, alone=True)


@query
def watchers(app: str) -> Steps[list[Watcher]]:
    """Those who watch an app, by name; who never looked is not among them."""
    return [Watcher(*row) for row in (yield Call("list_watchers", {"app": app}, alone=True))]
