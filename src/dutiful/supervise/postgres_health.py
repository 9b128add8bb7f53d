"""What the doctor says of a PostgreSQL server: durability, vacuum, snapshots, room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..model.spans import span
from .notes import NO_SUCH, Note, bad, named, note, well

OLDEST = 130_000
SNAPSHOT_S = 600
SNAPSHOT_BAD_S = 6 * 3600
XIDS_BAD = 100_000_000
XID_AGE, XID_AGE_BAD = 500_000_000, 1_500_000_000
DEAD_ROWS_BAD = 100_000
ROOM = 0.8


def settings(readings: Mapping[str, str]) -> Iterator[Note]:
    """Everything about the server that our promises lean on."""
    yield from server(readings)
    yield from durability(readings)
    yield from vacuum(readings)
    yield from snapshots(readings)
    yield from ids(readings)
    yield from room(readings)


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
        if readings[name] == "off":
            yield bad(
                name,
                "off: a crash of the server's machine may corrupt everything.",
                "Switch it on in postgresql.conf; off is for throw-away databases.",
            )
        else:
            yield well(name, f"{readings[name]}.")
    commit = readings["synchronous_commit"]
    standbys = readings.get("synchronous_standby_names", "")
    if commit == "off":
        yield bad(
            "synchronous_commit",
            "off: a crash of the server loses the last commits, done jobs included.",
            "ALTER ROLE … SET synchronous_commit = on, for the role that dutiful uses.",
        )
    elif commit == "local" and standbys:
        yield note(
            "synchronous_commit",
            "local: commits do not wait for the standbys; a failover may lose some.",
            "ALTER ROLE … SET synchronous_commit = on, for the role that dutiful uses.",
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
            "ALTER TABLE dutiful.… RESET (autovacuum_enabled), for each.",
        )
    else:
        dead, live = int(readings.get("dead_rows", 0)), int(readings.get("live_rows", 0))
        text = f"on; the live table has {dead:,} dead rows and {live:,} live ones."
        if dead > max(DEAD_ROWS_BAD, 10 * live):
            yield bad(
                "autovacuum",
                f"{text} It does not keep up.",
                "Who holds it up? See snapshots. Else VACUUM dutiful.job, and give it more workers.",
            )
        else:
            yield well("autovacuum", text)


def snapshots(readings: Mapping[str, str]) -> Iterator[Note]:
    """Who keeps vacuum from clearing away, and for how long already."""
    age_s, xids = int(readings.get("snapshot_s", 0)), int(readings.get("snapshot_xids", 0))
    who = readings.get("snapshot_who", "some session")
    if age_s >= SNAPSHOT_BAD_S or xids >= XIDS_BAD:
        yield bad(
            "snapshots",
            f"{who} has held a transaction open for {span(age_s * 1_000_000)} "
            f"({xids:,} transactions): vacuum can clear away nothing that is younger.",
            f"Let it end, or: SELECT pg_terminate_backend({_pid(who)});",
        )
    elif age_s >= SNAPSHOT_S:
        yield note(
            "snapshots",
            f"{who} has held a transaction open for {span(age_s * 1_000_000)}.",
            f"Let it end, or: SELECT pg_terminate_backend({_pid(who)});",
        )
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
            f"{slots} inactive replication slot{' holds' if slots == 1 else 's hold'} old rows.",
            "pg_replication_slots names them: drop the ones that nobody will use.",
        )
    if prepared := int(readings.get("prepared", 0)):
        yield note(
            "snapshots",
            f"{prepared} prepared transaction{' is' if prepared == 1 else 's are'} open (pg_prepared_xacts).",
            "COMMIT PREPARED or ROLLBACK PREPARED those that nobody will end.",
        )


def _pid(who: str) -> str:
    return who.removeprefix("pid ").partition(",")[0] if who.startswith("pid ") else "…"


def at_most_once(readings: Mapping[str, str], names: Sequence[str]) -> Iterator[Note]:
    """Whether a failover may forget a start of these tasks, so that they begin a second time."""
    if not names:
        yield well("at_most_once", NO_SUCH)
        return
    followers = int(readings["standbys"])
    shown = named(names)
    if readings.get("synchronous_standby_names"):
        yield well(
            "at_most_once",
            f"{shown}: each start waits for {readings['synchronous_standby_names']}, whatever the setting.",
        )
    elif followers:
        yield bad(
            "at_most_once",
            f"{shown}; and {followers} standby{'s follow' if followers > 1 else ' follows'} asynchronously: "
            "after a failover a start may be unknown there.",
            "Name it in synchronous_standby_names on the primary, as 'ANY 1 (*)'.",
        )
    else:
        yield well("at_most_once", f"{shown}; no standby follows, to which a failover could lead.")


def ids(readings: Mapping[str, str]) -> Iterator[Note]:
    """How far the server is from running out of transaction ids."""
    age = max(int(readings["xid_age"]), int(readings["mxid_age"]))
    if age >= XID_AGE_BAD:
        yield bad(
            "transaction ids",
            f"The oldest is {age:,} back; at 2,000,000,000 the server stops.",
            "See snapshots for who holds vacuum up, end that, and VACUUM the database.",
        )
    elif age >= XID_AGE:
        yield note("transaction ids", f"The oldest is {age:,} back: vacuum is behind.")
    else:
        yield well("transaction ids", f"The oldest is {age:,} back.")


def room(readings: Mapping[str, str]) -> Iterator[Note]:
    """Whether more workers could connect."""
    most = int(readings["max_connections"]) - int(readings.get("superuser_reserved_connections", 0))
    used = int(readings["connections"])
    text = f"{used:,} of {most:,} are used."
    if used >= ROOM * most:
        yield bad("connections", text, "A worker process takes up to 18; raise max_connections or pool them.")
    else:
        yield well("connections", text)
