"""The app whose workers charge at the tests' provider while they are killed."""

from __future__ import annotations

import os
from typing import Any

import httpx

from dutiful import App, Retry, Run, Unsure
from dutiful.effects import http
from dutiful.model.effects import EffectRow

app = App("tests", os.environ.get("DUTIFUL_TEST_URL", "sqlite://"))
PROVIDER = os.environ.get("DUTIFUL_TEST_PROVIDER", "http://127.0.0.1:1")

REMEMBER_S = 10.0
"""How long the provider knows a key."""
MARGIN = "5s"
"""Above the calls' time-out, and the worst pause of a busy machine."""
QUIET = "2s"
TIMEOUT_S = 0.4

OFTEN = Retry(200, first="100ms", longest="500ms")
SELDOM = Retry(200, first="6s", longest="6s", jitter=0)
"""A second try comes when the provider may have forgotten the first."""

client = httpx.Client(base_url=PROVIDER, timeout=TIMEOUT_S)


BUG = os.environ.get("DUTIFUL_TEST_PLANT", "")
"""What is broken on purpose, to see that the count notices."""


def charge(kind: str, n: int, path: str = "/charges") -> Any:
    do = http.call(client, "POST", path, json={"order": n, "kind": kind})
    return (lambda key: do(os.urandom(16).hex())) if BUG == "a new key each time" else do


def found(response: httpx.Response) -> Any:
    if response.status_code == 404:
        return None
    if response.status_code != 200:
        raise Unsure(f"the lookup was answered {response.status_code}")
    return response.json()


def lookup(key: str) -> Any:
    return found(client.get(f"/charges/{key}"))


@app.task(once="remembered:{n}", retry=OFTEN, crashes=1000)
def remembered(n: int, *, run: Run = Run.given) -> None:
    """The usual: keys, and a lookup for what is older."""
    run.effect(
        "charge",
        do=charge("remembered", n),
        request={"order": n},
        remembered=f"{REMEMBER_S}s",
        margin=MARGIN,
        lookup=lookup,
        quiet=QUIET,
    )


@app.task(once="aremembered:{n}", retry=OFTEN, crashes=1000)
async def aremembered(n: int, *, run: Run = Run.given) -> None:
    """The same on the event loop."""
    async with httpx.AsyncClient(base_url=PROVIDER, timeout=TIMEOUT_S) as aclient:

        async def alookup(key: str) -> Any:
            return found(await aclient.get(f"/charges/{key}"))

        await run.aeffect(
            "charge",
            do=http.acall(aclient, "POST", "/charges", json={"order": n, "kind": "aremembered"}),
            request={"order": n},
            remembered=f"{REMEMBER_S}s",
            margin=MARGIN,
            lookup=alookup,
            quiet=QUIET,
        )


@app.task(once="blind:{n}", retry=SELDOM, crashes=1000)
def blind(n: int, *, run: Run = Run.given) -> None:
    """Keys that are forgotten, and no lookup: in doubt then."""
    run.effect("charge", do=charge("blind", n), remembered=f"{REMEMBER_S}s", margin=MARGIN)


@app.task(once="late:{n}", retry=SELDOM, crashes=1000)
def late(n: int, *, run: Run = Run.given) -> None:
    """Keys that are forgotten, and looked up then."""
    run.effect(
        "charge", do=charge("late", n), remembered=f"{REMEMBER_S}s", margin=MARGIN, lookup=lookup, quiet=QUIET
    )


@app.task(once="keyless:{n}", retry=OFTEN, crashes=1000)
def keyless(n: int, *, run: Run = Run.given) -> None:
    """A provider without keys, that can be asked."""
    run.effect("charge", do=charge("keyless", n, "/plain"), lookup=lookup, quiet=QUIET)


@app.task(once="booked:{n}", delivery="exactly_once", retry=OFTEN, crashes=1000)
def booked(n: int, *, run: Run = Run.given) -> None:
    """The charge first, then the work that depends on it."""
    paid = run.effect(
        "charge",
        do=charge("booked", n),
        remembered=f"{REMEMBER_S}s",
        margin=MARGIN,
        lookup=lookup,
        quiet=QUIET,
    )
    with run.transaction() as tx:
        tx.execute("INSERT INTO booking (n, charge) VALUES (:n, :charge)", {"n": n, "charge": paid["id"]})


KINDS = ("remembered", "aremembered", "blind", "late", "keyless", "booked")


if BUG == "never forgotten":
    EffectRow.window_ends_us = lambda row, terms: row.asked_at_us * 2  # type: ignore[method-assign]
