"""What a fault of the database is called, and whether it may pass, for every error of SQLAlchemy and of the drivers.

The one place in which their errors are translated. Nothing of their text is used, because it can quote the address with
its password, or a value.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from zaikio_oauth.errors import StoreUnavailableError

__all__ = ["CANNOT_OPEN", "READ_ONLY", "TOO_SLOW", "Fault", "driver_error", "fault_of"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: ``may_pass`` if the statement can succeed later, ``stale`` if another connection can help."""

    reason: str
    may_pass: bool = True
    stale: bool = False

    def error(self, elapsed: float) -> StoreUnavailableError:
        """Return the error for callers, after so many seconds."""
        return StoreUnavailableError(self.reason, elapsed=elapsed, may_pass=self.may_pass)


UNREACHABLE: Final = Fault("it cannot be reached")
GONE: Final = replace(UNREACHABLE, stale=True)
CONNECTION_LOST: Final = Fault("its connection was lost", stale=True)
READ_ONLY: Final = Fault("it is read-only", stale=True)
LOCKED: Final = Fault("it is locked")
TOO_SLOW: Final = Fault("a statement took too long")
NO_CONNECTION: Final = Fault("it has no free connections")
FULL: Final = Fault("its disk or memory is full")
INPUT_OUTPUT: Final = Fault("its files cannot be read or written", stale=True)
CANNOT_OPEN: Final = Fault("its file cannot be opened", stale=True)
BAD_CERTIFICATE: Final = Fault("its certificate is not valid", may_pass=False)
WITHOUT_TLS: Final = Fault("it does not offer TLS, which its address requires", may_pass=False)
NO_SUCH_SERVER: Final = Fault("none of its servers is of the kind that target_session_attrs asks for")
DAMAGED: Final = Fault("its file is damaged or is no database", may_pass=False)

# By SQLSTATE, or by its first two characters, which are its class (PostgreSQL, "Error Codes").
_POSTGRESQL: Final[dict[str, Fault]] = {
    "08": GONE,
    "08P01": NO_CONNECTION,  # PgBouncer, which has no class 53.
    "25006": READ_ONLY,
    "28": Fault("it does not accept the user or the password", may_pass=False),
    "3D": Fault("there is no database of that name", may_pass=False),
    "40": LOCKED,
    "53": FULL,
    "53300": NO_CONNECTION,
    "55P03": LOCKED,
    "57014": TOO_SLOW,
    "57P": GONE,  # It is being shut down or starts; an idle connection dies of it unnoticed.
    "57P04": Fault("there is no database of that name", may_pass=False),
    "58": INPUT_OUTPUT,
}

# A migration has changed a table (SQLAlchemy then prepares every statement anew); the connection is still busy with a
# statement that was given up; the server said that it ends the connection while a statement was being sent.
_OF_ASYNCPG: Final = frozenset({"InvalidCachedStatementError", "InterfaceError", "InternalClientError"})

# Somebody has closed the connection.
_OF_AIOSQLITE: Final = frozenset({"Connection closed", "no active connection"})

# By the primary result code (SQLite, "Result and Error Codes").
_SQLITE: Final[dict[int, Fault]] = {
    5: LOCKED,  # SQLITE_BUSY
    6: LOCKED,  # SQLITE_LOCKED
    7: FULL,  # SQLITE_NOMEM
    8: READ_ONLY,  # SQLITE_READONLY
    10: INPUT_OUTPUT,  # SQLITE_IOERR
    11: DAMAGED,  # SQLITE_CORRUPT
    13: FULL,  # SQLITE_FULL
    14: CANNOT_OPEN,  # SQLITE_CANTOPEN
    26: DAMAGED,  # SQLITE_NOTADB
}


def fault_of(error: BaseException) -> Fault:
    """Return what kind of fault an error of SQLAlchemy, of a driver or of the network is."""
    driver = driver_error(error)
    return (
        _by_code(driver)
        or _by_type(error, driver)
        or Fault(f"it refused a statement ({_name(driver)})", may_pass=False)
    )


def _by_type(error: BaseException, driver: BaseException) -> Fault | None:
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    of_asyncpg = type(driver).__module__.startswith("asyncpg")
    kinds = {
        NO_CONNECTION: isinstance(error, PoolTimeoutError),
        CONNECTION_LOST: lost
        or (of_asyncpg and _name(driver) in _OF_ASYNCPG)
        or (isinstance(driver, ValueError) and str(driver) in _OF_AIOSQLITE),
        TOO_SLOW: isinstance(driver, TimeoutError),
        BAD_CERTIFICATE: isinstance(driver, ssl.SSLCertVerificationError),
        # asyncpg has no type of its own for it.
        WITHOUT_TLS: isinstance(driver, ConnectionError) and "rejected SSL upgrade" in str(driver),
        NO_SUCH_SERVER: of_asyncpg and _name(driver) == "TargetServerAttributeNotMatched",
        UNREACHABLE: isinstance(driver, OSError),
    }
    return next((fault for fault, applies in kinds.items() if applies), None)


def driver_error(error: BaseException) -> BaseException:
    """Return the error that the driver itself raised: SQLAlchemy wraps it, and for asyncpg twice."""
    if isinstance(error, StatementError) and error.orig is not None:
        error = error.orig
    adapted = type(error).__module__.startswith("sqlalchemy.")
    return error.__cause__ if adapted and error.__cause__ is not None else error


def _by_code(error: Any) -> Fault | None:
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return next((_POSTGRESQL[part] for part in (state, state[:3], state[:2]) if part in _POSTGRESQL), None)
    code = getattr(error, "sqlite_errorcode", None)
    return _SQLITE.get(code & 0xFF) if isinstance(code, int) else None


def _name(error: BaseException) -> str:
    for attribute in ("sqlstate", "sqlite_errorname"):
        if isinstance(name := getattr(error, attribute, None), str):
            return name
    return type(error).__name__
