"""Errors of the database: what was asked could not be done, and what to do about it."""

from __future__ import annotations

from .error_root import DutifulError


class StoreError(DutifulError):
    """The database could not do what was asked. Nothing was written, unless the class says so."""

    code = "DE300"


class InvalidUrl(StoreError):
    """The store's URL is not one of ours."""

    code = "DE301"
    hint = 'Write "sqlite:///jobs.db", "sqlite:////absolute/jobs.db" or "postgresql://user@host/database".'


class DriverMissing(StoreError):
    """The driver that the URL asks for is not installed."""

    code = "DE302"


class StoreUnreachable(StoreError):
    """No connection to the database could be made, or it broke and could not be made again."""

    code = "DE303"
    hint = "Is the server running, and are host, port, user and database in the URL right?"


class StoreReadOnly(StoreError):
    """The database refuses writes: a read-only file, folder, or standby."""

    code = "DE304"
    hint = "Give this user write permission on the file and its folder (or connect to the primary)."


class StoreFull(StoreError):
    """The disk, or the database's size limit, is full. The transaction was rolled back whole."""

    code = "DE305"
    hint = "Free some space; what was refused can then be repeated, nothing was half written."


class StoreBusy(StoreError):
    """The database stayed locked by somebody else for longer than we wait."""

    code = "DE306"
    hint = "Look for a long transaction in another session; it blocks all writers."


class CommitUnknown(StoreError):
    """The connection broke while a commit was under way: it may have happened, or not."""

    code = "DE307"
    hint = "Repeat the call with the same once= key or the same job id: that is one job either way."


class SchemaMissing(StoreError):
    """The database has no dutiful tables yet."""

    code = "DE310"
    hint = "Run: dutiful migrate --app MODULE:APP"


class SchemaTooOld(StoreError):
    """The tables are of an older version than this code."""

    code = "DE311"
    hint = "Run: dutiful migrate --app MODULE:APP"


class SchemaTooNew(StoreError):
    """The tables are of a newer version than this code, which must not write to them."""

    code = "DE312"
    hint = "Upgrade dutiful here; the tables were migrated by a newer release."


class TwoSqliteBuilds(StoreError):
    """One process opens one file through two SQLite libraries: closing one drops the other's locks."""

    code = "DE313"
    hint = (
        "Use one of them for this file: leave ?driver=apsw away in dutiful's URL, "
        "or open your own connections with apsw too."
    )


class NetworkFileSystem(StoreError):
    """SQLite's locks are not safe on network file systems."""

    code = "DE314"
    hint = "Put the file on a local disk, or use PostgreSQL for several hosts."


class UsedAfterFork(StoreError):
    """A connection made before a fork was used after it, in the child."""

    code = "DE315"
    hint = "Create the App after the fork, or start the child with the spawn method."


class LedgerMissing(StoreError):
    """The database that a task or ``once()`` works in has no ledger."""

    code = "DE316"
    hint = "Make it: dutiful migrate --ledger URL"


class TooSlow(StoreError):
    """A question to a store that was opened for reading took longer than such a one may."""

    code = "DE317"
    hint = "Narrow it: a queue, a task, or a shorter time."
