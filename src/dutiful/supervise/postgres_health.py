"""What the doctor says of a PostgreSQL server: durability, vacuum, snapshots, poolers, clocks, room."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..engines.contract import Engine
from ..model.spans import span
from .notes import Note, bad, note, unknown, well

OLDEST = 130_000
SNAPSHOT_S = 600
SNAPSHOT_BAD_S = 6 * 3600
XIDS_BAD = 100_000_000
SKEW_US = 2_000_000
ROOM = 0.8


def settings(engine: Engine, readings: Mapping[str, str]) -> Iterator[Note]:
    """Everything about the server that our promises lean on."""
    yield from server(readings)
    yield from durability(readings)
    yield from vacuum(readings)
    yield from snapshots(readings)
    yield from room(readings)
    yield from _connection(engine)


def server(readings: Mapping[str, str]) -> Iterator[Note]:
    """Its version, and whether it may be written."""
    number = int(readings["server_version_num"])
    name = f"PostgreSQL {readings['server_version'].partition(' ')[0]}"
    if number < OLDEST:
        yield bad("server", f"{name} is older than 13.", "Upgrade the server.")
    else:
        yield well("server", f"{name}.")
    if readings["in_recovery"] == "true":
        yield bad("server", "It is a standby, which cannot be written.", "Connect to the primary.")


def durability(readings: Mapping[str, str]) -> Iterator[Note]:
    """What a crash of the server may cost."""
    for name in ("fsync", "full_page_writes"):
        if readings.get(name) == "off":
            yield bad(
                name,
                "off: a crash of the server's machine may corrupt everything.",
                "Switch it on in postgresql.conf; off is for throw-away databases.",
            )
    commit = readings["synchronous_commit"]
    standbys = readings.get("synchronous_standby_names", "")
    if commit == "off":
        yield bad(
            "synchronous_commit",
            "off: a crash of the server loses the last commits, done jobs included.",
            "Set it to on for the role or database that dutiful uses.",
        )
    elif commit == "local" and standbys:
        yield note(
            "synchronous_commit", "local: commits do not wait for the standbys; a failover may lose some."
        )
    else:
        waits = f", and on {standbys}" if standbys else ""
        yield well("synchronous_commit", f"{commit}: a commit is on the disk{waits}.")


def vacuum(readings: Mapping[str, str]) -> Iterator[Note]:
    """Whether dead rows are cleared away."""
    if readings["autovacuum"] == "off" or readings.get("track_counts") == "off":
        yield bad(
            "autovacuum", "off: the queue's tables only grow, and get slow.", "Switch it on for the server."
        )
    elif readings.get("vacuum_off"):
        yield bad(
            "autovacuum",
            f"It is off for tables of dutiful's: {readings['vacuum_off']}.",
            "ALTER TABLE … RESET (autovacuum_enabled)",
        )
    else:
        yield well(
            "autovacuum",
            f"on; the live table has {int(readings.get('dead_rows', 0)):,} dead rows "
            f"and {int(readings.get('live_rows', 0)):,} live ones.",
        )


def snapshots(readings: Mapping[str, str]) -> Iterator[Note]:
    """Who keeps vacuum from clearing away, and for how long already."""
    age_s, xids = int(readings.get("snapshot_s", 0)), int(readings.get("snapshot_xids", 0))
    who = readings.get("snapshot_who", "some session")
    if age_s >= SNAPSHOT_BAD_S or xids >= XIDS_BAD:
        yield bad(
            "snapshots",
            f"{who} has held a transaction open for {span(age_s * 1_000_000)} "
            f"({xids:,} transactions): vacuum can clear away nothing that is younger.",
            "End that transaction; claims stay quick meanwhile, but the tables grow.",
        )
    elif age_s >= SNAPSHOT_S:
        yield note("snapshots", f"{who} has held a transaction open for {span(age_s * 1_000_000)}.")
    elif readings.get("sees_all") != "true":
        yield note(
            "snapshots",
            "No old one among this user's sessions; those of others it may not see.",
            "To see all: GRANT pg_read_all_stats TO this user.",
        )
    else:
        yield well("snapshots", "Nobody holds an old one.")
    if slots := int(readings.get("slots_holding", 0)):
        yield bad(
            "snapshots",
            f"{slots} inactive replication slots hold old rows.",
            "pg_replication_slots names them: drop the ones that nobody will use.",
        )
    if prepared := int(readings.get("prepared", 0)):
        yield note("snapshots", f"{prepared} prepared transactions are open (pg_prepared_xacts).")


def room(readings: Mapping[str, str]) -> Iterator[Note]:
    """Whether more workers could connect."""
    most = int(readings["max_connections"]) - int(readings.get("superuser_reserved_connections", 0))
    used = int(readings["connections"])
    text = f"{used:,} of {most:,} are used."
    if used >= ROOM * most:
        yield bad("connections", text, "A worker process takes up to 18; raise max_connections or pool them.")
    else:
        yield well("connections", text)


def _connection(engine: Any) -> Iterator[Note]:
    """What only a connection of one's own can tell: a pooler between, and whose clock is off."""
    with engine.connect() as connection:
        before = time.time_ns() // 1000
        [(pid, now_us)] = connection.execute(
            "SELECT pg_catalog.pg_backend_pid(), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
        ).fetchall()
        after = time.time_ns() // 1000
        told = connection.info.backend_pid
    yield from pooler(told == pid, declared=engine.pooler)
    yield from clock(now_us - (before + after) // 2, (after - before) // 2)


def pooler(direct: bool, *, declared: bool) -> Iterator[Note]:
    """A pooler hands out cancel keys of its own, so the server's process number is not the one told."""
    if direct and declared:
        yield note(
            "pooler",
            "The URL says pooler=transaction, but none seems to stand between.",
            "Without it, workers hear of new jobs at once (LISTEN) and statements are prepared.",
        )
    elif direct:
        yield well("pooler", "None between; statements are prepared, and workers listen.")
    elif declared:
        yield well("pooler", "One stands between, as the URL says; workers poll.")
    else:
        yield bad(
            "pooler",
            "Something like PgBouncer seems to stand between.",
            "If it pools by transaction, add pooler=transaction to the URL's options.",
        )


def clock(skew_us: int, give_us: int) -> Iterator[Note]:
    """Leases go by the server's clock, so a skew harms nothing but the times that people compare."""
    if give_us > SKEW_US:
        yield unknown("clock", f"The answer took {span(2 * give_us)}, too long to compare clocks.")
    elif abs(skew_us) - give_us > SKEW_US:
        yield note(
            "clock",
            f"This host's clock is {span(skew_us)} {'behind' if skew_us > 0 else 'ahead of'} the server's.",
            "Leases go by the server's; job ids made here sort wrongly. Mend NTP.",
        )
    else:
        yield well("clock", f"This host's and the server's agree within {span(abs(skew_us) + give_us)}.")
