"""The names of a database's faults, for every error that SQLAlchemy, the drivers and the network have."""

from __future__ import annotations

import asyncio
import pickle
import sqlite3
import ssl
from collections.abc import Iterator

import asyncpg
import pytest
import sqlalchemy.exc
from sqlalchemy import text

from tests.data import some_access_token
from zaikio_oauth import StoreUnavailableError, ZaikioOAuthError
from zaikio_oauth.store.access_tokens import AccessTokenRepository
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.database_errors import fault_of

SAID = "what the driver said: swordfish"


def descendants(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    """Yield the class and all that derive from it, without those of libraries that have nothing to do with a database."""
    if kind.__module__.partition(".")[0] in ("builtins", "socket", "ssl", "sqlalchemy", "asyncpg", "sqlite3"):
        yield kind
    for child in kind.__subclasses__():
        yield from descendants(child)


def made(kind: type[BaseException]) -> BaseException:
    """Return an error of this class, however many arguments its constructor takes."""
    error = kind.__new__(kind, SAID)
    error.args = (SAID,)
    if isinstance(error, sqlalchemy.exc.StatementError):
        error.orig = None
    return error


@pytest.mark.parametrize("base", [sqlalchemy.exc.SQLAlchemyError, asyncpg.PostgresError, sqlite3.Error, OSError])
def test_every_error_is_a_fault_with_a_name(base: type[BaseException]) -> None:
    """Whatever is added to SQLAlchemy or a driver has a reason, and never the driver's text."""
    for kind in set(descendants(base)):
        fault = fault_of(made(kind))
        assert fault.reason
        assert "swordfish" not in fault.reason


@pytest.mark.parametrize(
    ("error", "reason", "may_pass"),
    [
        (sqlalchemy.exc.TimeoutError(SAID), "it has no free connections", True),
        (ConnectionRefusedError(SAID), "it cannot be reached", True),
        (TimeoutError(SAID), "a statement took too long", True),
        (ssl.SSLCertVerificationError(SAID), "its certificate is not valid", False),
        (asyncpg.ReadOnlySQLTransactionError(SAID), "it is read-only", True),
        (asyncpg.TooManyConnectionsError(SAID), "it has no free connections", True),
        (asyncpg.DeadlockDetectedError(SAID), "it is locked", True),
        (asyncpg.LockNotAvailableError(SAID), "it is locked", True),
        (asyncpg.QueryCanceledError(SAID), "a statement took too long", True),
        (asyncpg.AdminShutdownError(SAID), "it cannot be reached", True),
        (asyncpg.CannotConnectNowError(SAID), "it cannot be reached", True),
        (asyncpg.DiskFullError(SAID), "its disk or memory is full", True),
        (asyncpg.InterfaceError(SAID), "its connection was lost", True),
        (asyncpg.InvalidPasswordError(SAID), "it does not accept the user or the password", False),
        (asyncpg.InvalidCatalogNameError(SAID), "there is no database of that name", False),
        (asyncpg.UndefinedTableError(SAID), "it refused a statement (42P01)", False),
        (asyncpg.StringDataRightTruncationError(SAID), "it refused a statement (22001)", False),
        (asyncpg.UniqueViolationError(SAID), "it refused a statement (23505)", False),
        (asyncpg.DataError(SAID), "it refused a statement (22000)", False),
        (UnicodeError(SAID), "it refused a statement (UnicodeError)", False),
    ],
)
def test_only_what_may_pass_may_be_tried_again(error: Exception, reason: str, *, may_pass: bool) -> None:
    """A value that is too long stays too long; a server that restarts is back in a moment."""
    fault = fault_of(error)
    assert (fault.reason, fault.may_pass) == (reason, may_pass)


async def test_a_statement_that_is_refused_is_an_error_of_ours_without_a_trace(database: Database) -> None:
    """Neither the message nor what a report of errors collects has the driver's error, which could quote a value."""
    with pytest.raises(StoreUnavailableError, match=r"it refused a statement") as caught:
        await database.statements.run(text("SELECT swordfish FROM nowhere"))

    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "swordfish" not in f"{error!r} {error.__dict__}"
    assert not error.may_pass
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (str(again), again.reason, again.may_pass) == (str(error), error.reason, error.may_pass)


@pytest.mark.parametrize("jti", ["x" * 5000, "nul\0", "lone \ud800"])
async def test_a_value_that_does_not_fit_is_not_tried_again(database: Database, jti: str) -> None:
    """It is stored or refused at once, by an error of ours."""
    async with asyncio.timeout(2):
        try:
            await AccessTokenRepository(database).add(some_access_token(jti=jti))
        except ZaikioOAuthError as error:
            assert isinstance(error, StoreUnavailableError)
            assert not error.may_pass
            assert jti[:4] not in str(error)
