"""What ``zaikio-oauth check`` finds in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.engine import make_url

from zaikio_oauth.cli.finding import Finding, skipped, told
from zaikio_oauth.cli.settings_check import Readable
from zaikio_oauth.errors import ConfigurationError, StoreUnavailableError, ZaikioOAuthError
from zaikio_oauth.settings.retries_and_waits import REVOCATION_LIST_INTERVAL
from zaikio_oauth.store.database import Database
from zaikio_oauth.store.key_sample import sample_keys
from zaikio_oauth.store.revoked_tokens import RevokedTokenRepository
from zaikio_oauth.store.schema_state import SchemaState, schema_state

__all__ = ["check_database"]

SAMPLE = 100
"""How many rows are decrypted. If one in fifty cannot be, seven samples out of eight have one of them."""

OVERDUE = timedelta(hours=1)
"""How long the list of revoked tokens may be due before somebody should look why nobody fetches it."""


async def check_database(readable: Readable) -> list[Finding]:
    """Return what is found; nothing is changed, and no file is created."""
    if "database_url" in readable.wrong:
        return skipped("database", "migrations", *_OF_ROWS, why="needs ZAIKIO_DATABASE_URL")
    try:
        database = Database(readable.settings.database_url, readable.settings.plain_encryption_keys)
    except ConfigurationError as error:
        return [told("database", "failed", str(error), "Correct ZAIKIO_DATABASE_URL."), *_unusable()]
    try:
        return await _checked(database, readable)
    finally:
        await database.aclose()


_OF_ROWS = ("encryption keys", "revocation list")


def _unusable() -> list[Finding]:
    return skipped("migrations", *_OF_ROWS, why="needs a database that can be used")


async def _checked(database: Database, readable: Readable) -> list[Finding]:
    if missing := _missing_file(readable.settings.database_url):
        remedy = "Run: zaikio-oauth migrate, or start the app, which does the same on SQLite."
        return [Finding("database", "failed", f"there is no file {missing}", remedy), *_unusable()]
    try:
        state = await schema_state(database)
    except ZaikioOAuthError as error:
        return [_unreachable(database, error), *_unusable()]
    reached = Finding("database", "ok", f"{database.name} ({state.server})")
    migrated = _migrations(state)
    if migrated.status == "failed":
        return [reached, migrated, *skipped(*_OF_ROWS, why="needs a database that is migrated")]
    try:
        return [reached, migrated, await _keys(database, readable), await _revocation_list(database)]
    except StoreUnavailableError as error:
        return [
            _unreachable(database, error),
            migrated,
            *skipped(*_OF_ROWS, why="needs a database that can be used"),
        ]


def _unreachable(database: Database, error: ZaikioOAuthError) -> Finding:
    text = (
        f"The database {database.name} cannot be used now: {error.reason}"
        if isinstance(error, StoreUnavailableError)
        else str(error)
    )
    return told("database", "failed", text, "Try again.")


def _missing_file(url: str) -> Path | None:
    """Return the path of a SQLite file that connecting would create."""
    address = make_url(url)
    name = address.database or ""
    if address.get_backend_name() != "sqlite" or name in ("", ":memory:") or name.startswith("file:"):
        return None
    path = Path(name)
    try:
        return path if path.parent.is_dir() and not path.exists() else None
    except OSError:
        # Connecting creates nothing, either, and says what is wrong.
        return None


def _migrations(state: SchemaState) -> Finding:
    migrate = "Run: zaikio-oauth migrate"
    tables = {
        "current": Finding("migrations", "ok", f"up to date: revision {state.revision}"),
        "by the app": Finding("migrations", "ok", "up to date: made by the app's own Alembic"),
        "unmarked": Finding(
            "migrations",
            "warning",
            f"no column is missing, but the revision is {state.revision} of {state.newest}",
            migrate,
        ),
        "ahead": Finding(
            "migrations",
            "warning",
            f"revision {state.revision}, which a newer version of zaikio_oauth has made; this one has {state.newest}",
            "Install that version here, too.",
        ),
        "behind": Finding(
            "migrations",
            "failed",
            f"behind: revision {state.revision or 'unknown'} of {state.newest}; missing: {', '.join(state.missing)}",
            migrate,
        ),
        "empty": Finding("migrations", "failed", "the database has no tables of zaikio_oauth yet", migrate),
    }
    return told("migrations", "failed", state.foreign) if state.foreign else tables[state.progress]


async def _keys(database: Database, readable: Readable) -> Finding:
    if "encryption_keys" in readable.wrong:
        return Finding("encryption keys", "skipped", "needs ZAIKIO_ENCRYPTION_KEYS")
    sample = await sample_keys(database, SAMPLE)
    rows = f"{sample.size} sampled token{'' if sample.size == 1 else 's'}"
    if sample.undecryptable:
        return Finding(
            "encryption keys",
            "failed",
            f"no key decrypts {len(sample.undecryptable)} of {rows}, the first of them {sample.undecryptable[0]}",
            "Append the key under which they were stored to ZAIKIO_ENCRYPTION_KEYS. If it is lost, those people have "
            "to log in again, and those organizations to connect again.",
        )
    if sample.under_other_keys:
        return Finding(
            "encryption keys",
            "warning",
            f"{sample.under_other_keys} of {rows} are not encrypted with the first key",
            "Run: zaikio-oauth rotate-keys, before you remove the other keys.",
        )
    return Finding(
        "encryption keys", "ok", f"the first key decrypts {rows}" if sample.size else "nothing is stored yet"
    )


async def _revocation_list(database: Database) -> Finding:
    due_at = await RevokedTokenRepository(database).list_due_at()
    if due_at is None:
        return Finding("revocation list", "skipped", "never fetched: the app does that when it starts")
    late = datetime.now(UTC) - due_at
    if late > OVERDUE:
        return Finding(
            "revocation list",
            "warning",
            f"last fetched about {_hours(late + REVOCATION_LIST_INTERVAL)} ago",
            "Start the app, or find out from its log why it does not fetch the list: until then, tokens that were "
            "revoked at the Hub are accepted.",
        )
    return Finding("revocation list", "ok", "fetched within the last two hours")


def _hours(duration: timedelta) -> str:
    hours = round(duration / timedelta(hours=1))
    return f"{hours} hours" if hours < 48 else f"{hours // 24} days"
