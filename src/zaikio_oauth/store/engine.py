"""How we connect to SQLite and to PostgreSQL: the address, the drivers' parameters, the time-outs."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from sqlalchemy import URL, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from zaikio_oauth.errors import ConfigurationError
from zaikio_oauth.settings.retries_and_waits import (
    DATABASE_CONNECT_TIMEOUT,
    SQLITE_BUSY_TIMEOUT,
    STATEMENT_DEADLINE,
    STATEMENT_TIMEOUT,
)
from zaikio_oauth.store.database_errors import TOO_SLOW, fault_of
from zaikio_oauth.store.idle_connections import WAITS_AT_LIMIT
from zaikio_oauth.store.postgresql_address import asyncpg_address

__all__ = ["in_private_memory", "make_engine", "refused_parameter"]

_PGBOUNCER: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

_SQLITE_PARAMETERS: Final = frozenset(
    {"cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout", "uri"}
)
_SQLITE_URI_PARAMETERS: Final = frozenset({"cache", "immutable", "mode", "nolock", "psow", "vfs"})
_SQLALCHEMY_PARAMETERS: Final = frozenset({"prepared_statement_cache_size"})


def make_engine(url: str, options: Mapping[str, Any], *, statement_timeout: float = STATEMENT_TIMEOUT) -> AsyncEngine:
    """Return the engine for this address; raises ConfigurationError for an address that cannot be right.

    ``options`` are those of SQLAlchemy's ``create_async_engine``; they win over ours, as the address's parameters do.
    ``statement_timeout`` is for each statement on PostgreSQL, in seconds. The engine's execution options say
    ``in_transactions`` (whether each call needs one) and ``statement_deadline`` (seconds or None).
    """
    try:
        address, of_driver = asyncpg_address(url) if url.startswith("postgresql") else (make_url(url), {})
        dialect: Any = address.get_dialect()
        pool = options.get("poolclass") or dialect.get_pool_class(address)
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise ConfigurationError("ZAIKIO_DATABASE_URL is not an address that SQLAlchemy understands.") from None
    except ModuleNotFoundError as error:
        raise _lacking(error) from None
    pgbouncer = _pgbouncer(address)
    address = address.difference_update_query(["pgbouncer"])
    given = dict(options)
    connect_args: dict[str, Any] = dict(given.pop("connect_args", {}))
    limits = _given_limits(address, {**connect_args, **given})
    defaults = _connect_args(dialect.name, statement_timeout, pgbouncer=pgbouncer)
    arguments: dict[str, Any] = {
        "hide_parameters": True,
        **({"isolation_level": "READ COMMITTED"} if pgbouncer else _AUTOCOMMIT),
        **({"pool_timeout": STATEMENT_TIMEOUT} if issubclass(pool, QueuePool) else {}),
        **given,
        "connect_args": {
            **{name: value for name, value in defaults.items() if name not in address.query},
            **{name: limits[name] for name in ("timeout", "command_timeout") if name in address.query},
            **of_driver,
            **connect_args,
        },
        "execution_options": {
            "in_transactions": pgbouncer,
            "statement_deadline": _deadline(limits.values()),
            "direct": _takes_directly(given),
            **given.get("execution_options", {}),
        },
    }
    try:
        if dialect.name == "sqlite":
            # Before SQLAlchemy, which only warns.
            uri = _SQLITE_URI_PARAMETERS if "uri" in address.query else ()
            _check_names(address, _SQLITE_PARAMETERS.union(uri))
        engine = create_async_engine(address, **arguments)
    except ModuleNotFoundError as error:
        raise _lacking(error) from None
    except (ArgumentError, ValueError):
        raise refused_parameter(address) from None
    except TypeError:
        names = ", ".join(sorted(options))
        raise ConfigurationError(f"SQLAlchemy does not accept all of the engine_options: {names}.") from None
    if engine.dialect.driver == "asyncpg":
        driver: Any = engine.dialect.dbapi
        _check_names(address, [*inspect.signature(driver.asyncpg.connect).parameters, *_SQLALCHEMY_PARAMETERS])
    _replace_stale_connections(engine)
    return engine


_AUTOCOMMIT: Final[dict[str, Any]] = {
    "isolation_level": "AUTOCOMMIT",
    # There is nothing to roll back, and each rollback would be a round trip (on SQLite a change of threads).
    "skip_autocommit_rollback": True,
}


def in_private_memory(engine: AsyncEngine) -> bool:
    """Return True for SQLite in memory, unless its connections share it (``cache=shared``)."""
    if engine.dialect.name != "sqlite":
        return False
    # What SQLite is given, because an address can be written in many ways.
    (name,), _ = engine.dialect.create_connect_args(engine.url)
    path, _, parameters = str(name).partition("?")
    asked = dict(parse_qsl(parameters))
    named = path.startswith("file:") and asked.get("mode") == "memory"
    return (named or path in (":memory:", "file:", "file::memory:")) and asked.get("cache") != "shared"


def refused_parameter(address: URL, name: str | None = None) -> ConfigurationError:
    """Return the error for an address of which the driver does not accept a parameter's value."""
    names = [name] if name else sorted(address.query)
    which = f"the value of {_quoted(names)}" if names else "the address"
    return ConfigurationError(f"ZAIKIO_DATABASE_URL: {address.get_driver_name()} does not accept {which}.")


def _lacking(error: ModuleNotFoundError) -> ConfigurationError:
    return ConfigurationError(
        f"ZAIKIO_DATABASE_URL needs {error.name}; for PostgreSQL: pip install 'zaikio_oauth[postgresql]'"
    )


def _quoted(names: list[str]) -> str:
    return " or ".join(repr(name[:50]) for name in names)


def _pgbouncer(address: URL) -> bool:
    text = address.query.get("pgbouncer", "false")
    if text not in _PGBOUNCER:
        raise ConfigurationError("ZAIKIO_DATABASE_URL: 'pgbouncer' has to be true or false.")
    return _PGBOUNCER[text]


def _check_names(address: URL, known: Iterable[str]) -> None:
    known, driver = frozenset(known), address.get_driver_name()
    for name in sorted(address.query):
        if name not in known:
            raise ConfigurationError(f"ZAIKIO_DATABASE_URL: {driver} knows no parameter {_quoted([name])}; remove it.")


def _given_limits(address: URL, options: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the time-outs that the user has given, in the address or as options."""
    limits: dict[str, float | None] = {}
    for name in ("timeout", "command_timeout", "pool_timeout"):
        if name in address.query:
            try:
                limits[name] = float(str(address.query[name]))
            except ValueError:
                raise refused_parameter(address, name) from None
        if name in options:
            limits[name] = options[name]
    return limits


def _deadline(limits: Any) -> float | None:
    """Return how long a call may take: longer than what the user has set, or for ever if that is without limit."""
    limits = list(limits)
    return None if None in limits else max([STATEMENT_DEADLINE, *(limit + 1 for limit in limits)])


def _connect_args(dialect: str, statement_timeout: float, *, pgbouncer: bool) -> dict[str, Any]:
    if dialect == "sqlite":
        return {"timeout": SQLITE_BUSY_TIMEOUT}
    timeouts = {"timeout": DATABASE_CONNECT_TIMEOUT, "command_timeout": statement_timeout}
    if not pgbouncer:
        return timeouts
    # A pooler without support for prepared statements gives each transaction another server connection: a statement
    # must be prepared and executed in one transaction, under a name that no other connection has used.
    return timeouts | {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: f"__zaikio_{uuid.uuid4()}__",
    }


def _takes_directly(options: Mapping[str, Any]) -> bool:
    """Return True if taking an idle connection from the pool waits for nothing, unless it is at its limit."""
    return not options.get("pool_pre_ping", False) and not (WAITS_AT_LIMIT and options.get("max_overflow") == 0)


def _replace_stale_connections(engine: AsyncEngine) -> None:
    event.listen(engine.sync_engine, "handle_error", _discard)
    if engine.dialect.name == "sqlite":
        # Only here, because an app on PostgreSQL never needs it.
        from zaikio_oauth.store import sqlite_connection  # noqa: PLC0415

        event.listen(engine.sync_engine, "do_connect", sqlite_connection.use)
        event.listen(engine.sync_engine, "connect", sqlite_connection.prepare)
    else:
        # It closes in an orderly way for two seconds, then at once; do_close would wait for the server for ever.
        engine.dialect.do_close = engine.dialect.do_terminate  # type: ignore[method-assign]


def _discard(context: ExceptionContext) -> None:
    """Have SQLAlchemy replace a connection on which the statement failed, but might succeed on a new one."""
    fault = fault_of(context.sqlalchemy_exception or context.original_exception)
    if fault.stale:
        context.is_disconnect = True
    elif fault is TOO_SLOW:
        # The server is still being asked to cancel the statement. The other connections have no part in it.
        context.is_disconnect = True
        context.invalidate_pool_on_disconnect = False
