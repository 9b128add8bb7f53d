"""Tasks on PostgreSQL by asyncpg, alone and below SQLAlchemy's async engine."""

from __future__ import annotations

from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from tests.drill.corpus.postgres import PG, app
from tests.drill.corpus.shop import bug, right


async def connect() -> Any:
    return await asyncpg.connect(app.url)


@bug(PG)
async def asyncpg_two_transactions(order_id: int) -> None:
    db = await connect()
    try:
        await db.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
        await db.execute("UPDATE orders SET sent = true WHERE id = $1", order_id)
    finally:
        await db.close()


@bug(PG)
async def asyncpg_check_then_insert(order_id: int) -> None:
    async with asyncpg.create_pool(app.url, min_size=1, max_size=2) as pool, pool.acquire() as db:
        if await db.fetchval("SELECT 1 FROM receipts WHERE order_id = $1", order_id) is None:
            await db.executemany("INSERT INTO receipts (order_id) VALUES ($1)", [(order_id,)])


@bug(PG)
async def asyncpg_below_sqlalchemy(order_id: int) -> None:
    engine = create_async_engine(app.url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
    async with engine.begin() as db:
        await db.execute(text("INSERT INTO receipts (order_id) VALUES (:o)"), {"o": order_id})


@right(PG)
async def asyncpg_duty_row_first(order_id: int) -> None:
    db = await connect()
    try:
        async with db.transaction():
            said = await db.execute(
                "INSERT INTO done_duties VALUES ($1) ON CONFLICT DO NOTHING", f"a{order_id}"
            )
            if said.endswith(" 1"):
                await db.execute("UPDATE accounts SET balance = balance - 10 WHERE id = 1")
    finally:
        await db.close()


@right(PG)
async def asyncpg_keyed_below_sqlalchemy(order_id: int) -> None:
    engine = create_async_engine(app.url.replace("postgresql:", "postgresql+asyncpg:"), poolclass=NullPool)
    async with engine.begin() as db:
        row = {"o": order_id}
        await db.execute(text("INSERT INTO once_receipts VALUES (:o) ON CONFLICT DO NOTHING"), row)
