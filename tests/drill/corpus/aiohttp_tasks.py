"""Calls by aiohttp's client, in async tasks."""

from __future__ import annotations

import contextlib
import uuid
from contextlib import closing

import aiohttp

from dutiful import EffectUnknown, Run
from tests.drill.corpus.shop import bug, connect, right

PAY = "https://pay.example/charges"
HERE = {"where": "aiohttp"}


@bug({**HERE})
async def aiohttp_post_without_key(order_id: int) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.post(PAY, json={"order": order_id}) as answer:
            await answer.json()


@bug({**HERE})
async def aiohttp_new_key_each_time(order_id: int) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    async with aiohttp.ClientSession() as session:
        await session.post(PAY, data={"order": order_id}, headers=headers)


@bug({**HERE})
async def aiohttp_call_first_save_after(order_id: int) -> None:
    with closing(connect()) as db:
        if db.execute("SELECT charge FROM orders WHERE id = ?", (order_id,)).fetchone()[0]:
            return
        async with aiohttp.request("POST", PAY, json={"order": order_id}) as answer:
            answer.raise_for_status()
            charge = (await answer.json())["id"]
        with db:
            db.execute("UPDATE orders SET charge = ? WHERE id = ?", (charge, order_id))


@bug({**HERE})
async def aiohttp_save_first_call_after(order_id: int) -> None:
    with closing(connect()) as db:
        with db:
            new = db.execute("UPDATE orders SET sent = 1 WHERE id = ? AND sent = 0", (order_id,)).rowcount
    if new:
        async with aiohttp.ClientSession(headers={"Idempotency-Key": f"o{order_id}"}) as session:
            await session.post(PAY, json={"order": order_id})


@right({**HERE})
async def aiohttp_keyed_post(order_id: int) -> None:
    headers = {"Idempotency-Key": f"order-{order_id}"}
    async with aiohttp.ClientSession("https://pay.example", raise_for_status=True) as session:
        async with session.get("/status", params={"order": order_id}) as answer:
            assert (await answer.json())["status"] == "succeeded"
        await session.post("/charges", json={"order": order_id}, headers=headers)


@right({**HERE})
async def aiohttp_effect(order_id: int, run: Run) -> None:
    async def charge(key: str) -> str:
        headers = {"Idempotency-Key": key}
        async with contextlib.AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            try:
                answer = await session.post(PAY, json={"order": order_id}, headers=headers)
            except TimeoutError as error:
                raise EffectUnknown("no answer") from error
            if answer.status != 200:
                raise EffectUnknown(f"answered {answer.status}")
            return str((await answer.json())["id"])

    await run.aeffect("charge", do=charge, remembered="24h")
