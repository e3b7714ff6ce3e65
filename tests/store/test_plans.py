"""How the databases run our statements: whatever the library sends is answered by an index, however many rows there are.

Every method of every repository is called, on tables that are large enough for a scan to be the wrong choice, and the
plan of each statement is read: on PostgreSQL both for the values that were sent and for any (the server keeps a plan of
a prepared statement after a while).
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event, text

from tests.data import some_access_token
from zaikio_oauth import DecryptionError, store
from zaikio_oauth.store.access_tokens import AccessTokenRepository, TokenSearch
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.ended_grants import EndedGrantRepository
from zaikio_oauth.store.grant_lease import GrantLease
from zaikio_oauth.store.handled_events import HandledEventRepository
from zaikio_oauth.store.key_sample import sample_keys
from zaikio_oauth.store.leases import LeaseRepository
from zaikio_oauth.store.newest_grants import NewestGrantRepository
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository
from zaikio_oauth.store.stored_token import StoredToken
from zaikio_oauth.store.used_flows import UsedFlowRepository

ROWS = 20_000

LARGE = (
    "zaikio_access_tokens",
    "zaikio_revocations",
    "zaikio_handled_events",
    "zaikio_used_flows",
    "zaikio_lost_connections",
)

SMALL = {"LeaseRepository"}
"""A lease is a row while something is under way."""

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=300)
SEARCH = TokenSearch("warehouse", "Person", "bearer-7", ("zaikio.person.r",))


# ── large tables ───────────────────────────────────────────────────────────────────────────────────


async def fill(database: Database, stored: StoredToken) -> None:
    """Store many grants, of which few have ended, as it is between two cleanups, and as many rows of everything else."""
    postgresql = database.engine.dialect.name == "postgresql"
    numbers = (
        f"generate_series(1, {ROWS}) n"
        if postgresql
        else f"(WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {ROWS}) SELECT n FROM s)"
    )

    def at(offset: str) -> str:
        if postgresql:
            return f"now() + ({offset}) * interval '1 second'"
        return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', ({offset}) || ' seconds')"

    of_tokens = {
        "id": "'row-' || n",
        "jti": "'jti-' || n",
        "bearer_type": "CASE n % 10 WHEN 0 THEN 'Organization' ELSE 'Person' END",
        "bearer_id": "'bearer-' || (n / 3)",
        "expires_at": at(f"n * 3 - {ROWS // 50}"),
        "refresh_token": "CASE n % 10 WHEN 0 THEN NULL ELSE refresh_token END",
        "refresh_expires_at": f"CASE n % 10 WHEN 0 THEN NULL ELSE {at(f'n * 30 - {ROWS // 5}')} END",
        "revoked_at": f"CASE n % 200 WHEN 7 THEN {at('-n')} END",
        "updated_at": at("-n"),
    }
    columns = [column.name for column in database.tables.access_tokens.c]
    chosen = ", ".join(of_tokens.get(name, name) for name in columns)
    others = {
        "zaikio_revocations (jti, revoked_at)": f"'jti-' || n, {at('-n * 60')}",
        "zaikio_handled_events (digest, handled_at)": f"'digest-' || n, {at('-n')}",
        "zaikio_used_flows (digest, expires_at)": f"'digest-' || n, {at('n')}",
        "zaikio_lost_connections (client_name, bearer_type, bearer_id, access_token_id, scopes, connected_at,"
        " expires_at, lost_at)": "'warehouse', 'Organization', 'lost-' || n, 'row', ',', "
        + ", ".join([at("-n * 60")] * 3),
    }
    async with database.engine.connect() as connection:
        for table in LARGE if postgresql else ():
            # It would count the rows anew while the plans are read.
            await connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = false)"))
        await connection.execute(
            text(
                f"INSERT INTO zaikio_access_tokens ({', '.join(columns)}) SELECT {chosen}"  # noqa: S608
                f" FROM zaikio_access_tokens, {numbers} WHERE id = :id"
            ),
            {"id": stored.access_token.id},
        )
        for table, values in others.items():
            await connection.execute(text(f"INSERT INTO {table} SELECT {values} FROM {numbers}"))  # noqa: S608
        await connection.execute(text("ANALYZE"))


@contextmanager
def statements(database: Database) -> Iterator[dict[str, Any]]:
    """Yield what is sent while the body runs, with the values that were sent last."""
    asked: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        asked[statement] = values

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    yield asked
    event.remove(database.engine.sync_engine, "before_cursor_execute", note)


# ── every method of every repository ───────────────────────────────────────────────────────────────


async def windows(ended: EndedGrantRepository) -> None:
    async for window in ended.windows(NOW, size=100):
        await ended.lose_in(window, NOW)
        await ended.delete_in(window, NOW)


async def under_lease(database: Database, held: StoredToken) -> None:
    tokens = AccessTokenRepository(database)
    lease = GrantLease(LeaseRepository(database), tokens, held)
    assert await lease.acquire()
    async with lease.held():
        await tokens.replace(held, held.access_token, lease=lease)


def calls(database: Database, held: StoredToken) -> dict[Any, Callable[[], Awaitable[Any]]]:
    """Return one call of each method."""
    tokens, ended = AccessTokenRepository(database), EndedGrantRepository(database)
    revoked, events = RevokedTokenRepository(database), HandledEventRepository(database)
    return {
        AccessTokenRepository.add: lambda: tokens.add(some_access_token()),
        AccessTokenRepository.get: lambda: tokens.get("row-9"),
        AccessTokenRepository.acquire: lambda: under_lease(database, held),
        AccessTokenRepository.find_usable: lambda: tokens.find_usable(SEARCH, timedelta(seconds=30)),
        AccessTokenRepository.find_longest: lambda: tokens.find_longest(SEARCH, timedelta(seconds=30)),
        AccessTokenRepository.find_refreshable: lambda: tokens.find_refreshable(SEARCH),
        AccessTokenRepository.replace: lambda: tokens.replace(held, held.access_token),
        AccessTokenRepository.postpone_renewal: lambda: tokens.postpone_renewal(held),
        AccessTokenRepository.drop_refresh_token: lambda: tokens.drop_refresh_token(held),
        AccessTokenRepository.reencrypt: lambda: tokens.reencrypt("row-1", 50),
        AccessTokenRepository.delete: lambda: tokens.delete(held.access_token.id),
        EndedGrantRepository.lose: lambda: ended.lose("row-1", NOW),
        EndedGrantRepository.lose_over: lambda: ended.lose_over(NOW, SEARCH),
        EndedGrantRepository.lose_in: lambda: windows(ended),
        EndedGrantRepository.delete_in: lambda: windows(ended),
        EndedGrantRepository.forget_replaced: lambda: ended.forget_replaced(LONG_AGO),
        EndedGrantRepository.forget: lambda: ended.forget("warehouse", "Organization", "bearer-20"),
        NewestGrantRepository.page: lambda: NewestGrantRepository(database).page(
            "warehouse", "Organization", "bearer-2", NOW
        ),
        RevokedTokenRepository.add: lambda: revoked.add({f"jti-{number}" for number in range(100)}),
        RevokedTokenRepository.contains: lambda: revoked.contains("jti-1"),
        RevokedTokenRepository.claim_list: lambda: revoked.claim_list(NOW, timedelta(0), timedelta(0)),
        RevokedTokenRepository.schedule_list: lambda: revoked.schedule_list(NOW),
        RevokedTokenRepository.list_due_at: revoked.list_due_at,
        RevokedTokenRepository.delete_revoked_before: lambda: revoked.delete_revoked_before(LONG_AGO),
        HandledEventRepository.contains: lambda: events.contains("digest-1"),
        HandledEventRepository.add: lambda: events.add("digest-0", "An event"),
        HandledEventRepository.delete_handled_before: lambda: events.delete_handled_before(LONG_AGO),
        UsedFlowRepository.use: lambda: UsedFlowRepository(database).use("flow", expires_at=NOW + timedelta(days=9)),
        sample_keys: lambda: sample_keys(database, 20),
    }


def methods() -> set[Any]:
    """Return all that sends a statement: the coroutines of the repositories."""
    modules = [
        importlib.import_module(f"{store.__name__}.{each.name}") for each in pkgutil.iter_modules(store.__path__)
    ]
    repositories = {
        value
        for module in modules
        for name, value in vars(module).items()
        if name.endswith("Repository") and name not in SMALL
    }
    return {
        function
        for repository in repositories
        for name, function in vars(repository).items()
        if inspect.iscoroutinefunction(function) and not name.startswith("_")
    }


# ── plans ──────────────────────────────────────────────────────────────────────────────────────────


def scans(plan: dict[str, Any]) -> Iterator[str]:
    """Yield what a plan of PostgreSQL reads without looking for it."""
    kind, table, index = plan["Node Type"], plan.get("Relation Name"), plan.get("Index Name")
    # Without a condition, all of the index is read.
    of_whole_index = (table in LARGE or kind == "Bitmap Index Scan") and index and "Index Cond" not in plan
    if of_whole_index or (table in LARGE and kind == "Seq Scan"):
        yield f"{kind} of {index or table}"
    for part in plan.get("Plans", ()):
        yield from scans(part)


async def complaints_of_postgresql(connection: Any, statement: str, values: Any) -> list[str]:
    driver = (await connection.get_raw_connection()).driver_connection
    await driver.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE plan AS {statement}")
    nulls = ", ".join(["NULL"] * len(values))
    plans = {
        "for these values": await driver.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values),
        "for any values": await driver.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE plan{f'({nulls})' if nulls else ''}"),
    }
    await driver.execute("DEALLOCATE plan")
    return [
        f"{scan} {which}: {statement}"
        for which, plan in plans.items()
        for scan in scans((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
    ]


async def complaints_of_sqlite(connection: Any, statement: str, values: Any) -> list[str]:
    steps = [row.detail for row in await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    return [
        f"{step}: {statement}" for step in steps if step.startswith("SCAN") and step.split()[1] in (*LARGE, "newer")
    ]


async def test_every_statement_on_a_large_table_uses_an_index(database: Database) -> None:
    """A row of the table ``calls`` for each method of a repository, so that a new one cannot be forgotten."""
    added = await AccessTokenRepository(database).add(some_access_token())
    held = await AccessTokenRepository(database).get(added.id)
    assert held is not None
    await fill(database, held)
    every = calls(database, held)
    assert methods() - every.keys() == set()
    with statements(database) as asked:
        for call in every.values():
            # The rows are copies, and a ciphertext is good for its own row only.
            with suppress(DecryptionError):
                await call()

    complaints_of = complaints_of_postgresql if database.engine.dialect.name == "postgresql" else complaints_of_sqlite
    complaints = []
    async with database.engine.connect() as connection:
        for statement, values in asked.items():
            complaints += await complaints_of(connection, statement, values)
    assert len(asked) > 30
    assert complaints == []
