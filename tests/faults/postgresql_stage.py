"""A stage whose database is on PostgreSQL, and what can be done to that database."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import make_url

from tests.environment.plugin import own_postgresql_server
from tests.environment.postgresql import ExistingServer, PostgresqlServer
from tests.environment.tcp_proxy import TcpProxy
from tests.faults.stage import Stage, a_hub
from zaikio_oauth.testing import HubServer

TABLES = "zaikio_access_tokens, zaikio_leases, zaikio_revocations, zaikio_used_flows, zaikio_schedule"

END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class OnPostgresql:
    """A stage, the proxy in front of its database, and connections around the proxy."""

    def __init__(self, stage: Stage, proxy: TcpProxy | None, direct_url: str) -> None:
        self.stage = stage
        self._proxy = proxy
        url = make_url(direct_url)
        self.name = url.database
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._opened: list[asyncpg.Connection] = []
        self._killing: asyncio.Task[None] | None = None

    @property
    def proxy(self) -> TcpProxy:
        """The proxy in front of the database."""
        assert self._proxy is not None
        return self._proxy

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._dsn)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    # --- a table that is locked ---------------------------------------------------------------------------

    async def lock(self) -> None:
        """Lock every table of ours, as a migration or a backup does."""
        connection = await asyncpg.connect(self._dsn)
        self._opened.append(connection)
        await connection.execute("BEGIN")
        await connection.execute(f"LOCK TABLE {TABLES} IN ACCESS EXCLUSIVE MODE")

    async def close(self) -> None:
        """Close the connections of ``lock`` and ``occupy``."""
        while self._opened:
            await self._opened.pop().close()

    # --- no connection to be had ----------------------------------------------------------------------------

    async def occupy(self) -> None:
        """Take every connection that the server has, also those of the library."""
        self._opened.append(await asyncpg.connect(self._dsn))
        ended = False
        while True:
            try:
                self._opened.append(await asyncpg.connect(self._dsn))
            except asyncpg.TooManyConnectionsError:
                if ended:
                    return
                await self._opened[0].execute(
                    f"{END_CONNECTIONS} AND pid <> ALL ($1)", [each.get_server_pid() for each in self._opened]
                )
                ended = True
                await asyncio.sleep(0.1)

    # --- a database that only reads, and backends that are killed ---------------------------------------------

    async def read_only(self) -> None:
        """Have new connections read only, as those to a standby do, and end the old ones."""
        await self._execute(f'ALTER DATABASE "{self.name}" SET default_transaction_read_only = on')
        await self.kill()

    async def writable(self) -> None:
        """Undo it, also for the connections that were made meanwhile."""
        await self._execute(
            "SET default_transaction_read_only = off",
            f'ALTER DATABASE "{self.name}" RESET default_transaction_read_only',
        )
        await self.kill()

    async def kill(self) -> None:
        """End every connection to the database on the server's side."""
        await self._execute(END_CONNECTIONS)

    async def lock_and_kill(self) -> None:
        """Lock the tables, and end all connections of the library twice a second: while their statements wait."""
        await self.lock()

        async def kill() -> None:
            while True:
                await asyncio.sleep(0.5)
                await self._execute(f"{END_CONNECTIONS} AND wait_event_type = 'Lock'")

        self._killing = asyncio.create_task(kill())

    async def stop_killing(self) -> None:
        """Stop it and unlock the tables."""
        assert self._killing is not None
        self._killing.cancel()
        await asyncio.gather(self._killing, return_exceptions=True)
        await self.close()


@asynccontextmanager
async def on_postgresql(url: str) -> AsyncIterator[OnPostgresql]:
    """Yield a stage whose database is at this URL, behind a proxy."""
    hub = a_hub()
    with HubServer(hub) as server, TcpProxy.to(url) as proxy:
        yield OnPostgresql(Stage(hub, server.url, proxy.url(url), url), proxy, url)


@asynccontextmanager
async def on_own_server(max_connections: int = 300) -> AsyncIterator[tuple[OnPostgresql, PostgresqlServer]]:
    """Yield a stage without a proxy, and its server, which no other test uses, so that it may be stopped."""
    hub = a_hub()
    with own_postgresql_server(max_connections=max_connections) as server, HubServer(hub) as hub_server:
        url = await new_database(server)
        yield OnPostgresql(Stage(hub, hub_server.url, url, url), None, url), server


async def new_database(server: ExistingServer) -> str:
    """Return the URL of a new database on this server."""
    name = f"zaikio_test_{uuid.uuid4().hex}"
    await server.create_database(name)
    return server.url(name)
