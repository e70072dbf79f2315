"""One database, SQLite or PostgreSQL: opened, brought up to date, and asked in transactions.

SQLite has one writer at a time, so a transaction takes its place in the queue when it begins, and
not when it first writes: two that read and then write can never lock each other out. PostgreSQL's
own isolation does for the rest; whatever two transactions may both want is guarded by its update.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from traceback import walk_tb
from typing import Self, cast

import asyncpg
from filelock import FileLock, Timeout
from sqlalchemy import Connection, NullPool, event, func, make_url, select
from sqlalchemy.engine.interfaces import AdaptedConnection, DBAPIConnection
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    TimeoutError as PoolTimeout,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from puna.errors import Conflict, Invalid, PunaError, Unavailable
from puna.market.db.migrate import upgrade
from puna.market.db.workers import Workers

PATIENCE_S = 15
"""How long the answer to one statement may take, a place in a queue or a new connection. Programs
wait half a minute for an answer, and then a renter knows nothing, not even whether to ask again.
"""
_KEPT = 16
"""Connections that are kept; to make one takes longer than most transactions."""
_READS = "puna_reads"
_CHANNEL = "puna_market"
_FLOOR = 0x70756E61
"""The number of our lock in PostgreSQL: `puna`."""
_EXECUTES = "sqlalchemy.engine"
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}

_AWAY = ("08", "53", "57", "58")
"""Classes of PostgreSQL's errors: no connection, no resources, shut down, the system itself."""
_WRONG_VALUE = "22"
"""The class of what a column cannot hold: a zero byte in a text, a number beyond 64 bits."""
_LATER = frozenset({"40001", "40P01", "55P03"})
"""Two that were in each other's way."""

Transaction = AsyncConnection


class DatabaseAway(Unavailable):
    """The database does not answer; nothing was changed."""

    code = "database_away"
    retry_after_s = 5


class DatabaseClash(DatabaseAway):
    """Two transactions were in each other's way, and this one was undone."""

    code = "database_clash"
    retry_after_s = 1


class Unkeepable(Invalid):
    """A value that was sent is none that a database can look for or keep."""

    code = "invalid_value"


UNDONE = (PunaError, DBAPIError)
"""What a transaction ends with that was undone for what it found or did."""


class DatabaseInUse(Conflict):
    """Another process has the file."""

    code = "database_in_use"


class Database:
    """The market's memory."""

    def __init__(
        self,
        engine: AsyncEngine,
        workers: Workers | None = None,
        patient: AsyncEngine | None = None,
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._patient = patient or engine
        """Waits for each answer as long as it takes."""
        looks: dict[str, object] = {_READS: True}
        if self.is_shared:
            looks["isolation_level"] = "REPEATABLE READ"  # sums that are asked for one by one agree
        self._looking = engine.execution_options(**looks)
        self._looking_long = self._patient.execution_options(**looks)

    @classmethod
    async def open(cls, address: str, *, patience_s: float = PATIENCE_S) -> Self:
        """Connect to `sqlite:///PATH` or `postgresql://...` and bring the tables up to date.

        Raises `Invalid` for another address, `DatabaseAway` where nothing answers.
        """
        file = _file_of(address)
        if file is not None and not file.parent.is_dir():
            raise DatabaseAway(f"the database does not answer: there is no folder {file.parent}")
        database = cls(*_engine(address, patience_s))
        try:
            with _said_when_away():
                async with database._patient.connect() as connection:
                    await take_the_floor(connection)
                    await connection.run_sync(upgrade)
                    await connection.commit()
        except (PunaError, DBAPIError) as error:
            await database.close()
            if isinstance(error, PunaError):
                raise
            raise DatabaseAway(f"the database does not answer: {_cause(error)}") from error
        return database

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Yield a transaction: all of it is kept, or nothing. Raises `DatabaseAway`."""
        async with self._begun(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def reading(self, *, at_leisure: bool = False) -> AsyncIterator[Transaction]:
        """Yield a transaction that only looks: it waits for no writer. Raises `DatabaseAway`.

        `at_leisure` is for sums over all that there ever was, for which nobody waits.
        """
        async with self._begun(self._looking_long if at_leisure else self._looking) as connection:
            yield connection

    @asynccontextmanager
    async def _begun(self, engine: AsyncEngine) -> AsyncIterator[Transaction]:
        with _said_when_away():
            async with engine.begin() as connection:
                try:
                    yield connection
                except TimeoutError:  # nor would it answer when it is told to undo all
                    await connection.invalidate()
                    raise

    @property
    def is_shared(self) -> bool:
        """Whether several processes may work on it."""
        return self._engine.dialect.name == "postgresql"

    async def tell(self, word: str) -> None:
        """Say a word to all processes that listen. Raises `DatabaseAway`."""
        if self.is_shared:
            async with self.transaction() as tx:
                await tx.execute(select(func.pg_notify(_CHANNEL, word)))

    async def listen(self, heard: Callable[[str], None]) -> None:
        """Call `heard` with each word that a process says, until the connection is lost.

        Raises `DatabaseAway`. Words that are said meanwhile are lost.
        """
        lost = asyncio.Event()
        with _said_when_away():
            async with self._engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None  # noqa: S101 - a connection that is open has one
                driver.add_termination_listener(lambda _: lost.set())
                await driver.add_listener(_CHANNEL, lambda *words: heard(words[-1]))
                try:
                    await lost.wait()
                finally:
                    await connection.invalidate()

    async def close(self) -> None:
        """Drop every connection, and wait for what is still under way in some thread."""
        await self._engine.dispose()
        await self._patient.dispose()
        if self._workers is not None:
            await self._workers.have_ended()


async def take_the_floor(tx: Transaction) -> None:
    """Let no other process do what is done once until the transaction ends.

    SQLite's writers are alone anyhow.
    """
    if tx.dialect.name == "postgresql":
        await tx.execute(select(func.pg_advisory_xact_lock(_FLOOR)))


@contextmanager
def _said_when_away() -> Iterator[None]:
    """Turn what a database that is away, or too busy, makes of a statement into `DatabaseAway`."""
    try:
        yield
    except TimeoutError as error:
        raise DatabaseAway("the database does not answer: it was waited for in vain") from error
    except (OSError, PoolTimeout, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DatabaseAway(f"the database does not answer: {_cause(error)}") from error
    except asyncpg.InternalClientError as error:  # a connection that was lost in mid-sentence
        raise DatabaseAway("the database broke off") from error
    except (OverflowError, UnicodeEncodeError) as error:  # as the drivers say it themselves
        if _is_of_a_driver(error):
            raise _unkeepable() from error
        raise
    except DBAPIError as error:
        if isinstance(error, DataError) or _state_of(error).startswith(_WRONG_VALUE):
            raise _unkeepable() from error
        if _state_of(error) in _LATER:
            raise DatabaseClash(
                "another transaction was in the way; nothing was changed"
            ) from error
        if not _is_away(error):
            raise
        raise DatabaseAway(f"the database does not answer: {_cause(error)}") from error


def _unkeepable() -> Unkeepable:
    return Unkeepable(
        "a value cannot be kept",
        hint="no text has a zero byte or half a character in it, no number more than 64 bits",
    )


def _is_of_a_driver(error: Exception) -> bool:
    """Tell whether a driver made the error of a value, and not a mistake of the market's own."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(str(each.f_globals.get("__name__")).startswith(_EXECUTES) for each in frames)


def _is_away(error: DBAPIError) -> bool:
    """Tell whether the same may succeed later; what is wrong by itself stays wrong."""
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return True
    return _state_of(error).startswith(_AWAY)


def _state_of(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", "") or "")


@contextmanager
def sole_use(address: str) -> Iterator[None]:
    """Keep other processes from the same file of SQLite. Raises `DatabaseInUse`."""
    file = _file_of(address)
    if file is None:
        yield
        return
    lock = FileLock(f"{file}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise DatabaseInUse(
            f"another market works on {file}",
            hint="one process serves a file; PUNA_MARKET_DATABASE=postgresql://... takes many",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _file_of(address: str) -> Path | None:
    try:
        url = make_url(address)
    except ArgumentError:
        return None  # whoever opens it says so
    is_file = url.get_backend_name() == "sqlite" and url.database
    return Path(str(url.database)) if is_file else None


def sqlite_address(path: Path) -> str:
    """Return the address of a file."""
    return f"sqlite:///{path}"


def _engine(
    address: str, patience_s: float
) -> tuple[AsyncEngine, Workers | None, AsyncEngine | None]:
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise Invalid(f'"{address}" is not the address of a database') from error
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None:
        raise Invalid(
            f"the market knows no {url.get_backend_name()} database",
            hint="use sqlite:///PATH or postgresql://USER@HOST/NAME",
        )
    if driver.startswith("postgresql"):
        url = url.set(drivername=driver)
        engine = create_async_engine(
            url,
            pool_size=_KEPT,
            pool_timeout=patience_s,
            hide_parameters=True,
            connect_args={"timeout": patience_s, "command_timeout": patience_s},
        )
        event.listen(engine.sync_engine, "checkout", _refuse_lost)
        return engine, None, create_async_engine(url, poolclass=NullPool, hide_parameters=True)
    workers = Workers()
    engine = create_async_engine(
        url.set(drivername=driver),
        pool_size=_KEPT,
        pool_timeout=patience_s,
        hide_parameters=True,  # of an error: what is logged has no renter's variables in it
        connect_args={"async_creator_fn": workers.connect, "timeout": patience_s},
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine, workers, None


def _refuse_lost(connection: DBAPIConnection, record: object, proxy: object) -> None:
    """Have another connection made instead of one that the server has ended meanwhile.

    The driver knows it; to ask the server each time would cost every transaction a journey.
    """
    del record, proxy
    if cast("AdaptedConnection", connection).driver_connection.is_closed():
        raise DisconnectionError


def _prepare(connection: DBAPIConnection, record: object) -> None:
    """Set a new SQLite connection up: a log beside the file, real foreign keys, our own BEGIN."""
    del record
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # money
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    only_reads = connection.get_execution_options().get(_READS)
    connection.exec_driver_sql("BEGIN" if only_reads else "BEGIN IMMEDIATE")


def _cause(error: Exception) -> str:
    return str(error.orig if isinstance(error, DBAPIError) else error).partition("\n")[0]
