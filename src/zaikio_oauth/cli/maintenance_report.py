"""``zaikio-oauth migrate``, ``cleanup`` and ``rotate-keys``: what they say while they run and when they have ended."""

from __future__ import annotations

import json

import typer
from cryptography.fernet import Fernet

from zaikio_oauth.cli.progress import progress
from zaikio_oauth.settings import DatabaseSettings
from zaikio_oauth.store.database import Database
from zaikio_oauth.tokens.key_rotation import rotate_encryption_keys
from zaikio_oauth.tokens.runtime import Runtime

__all__ = ["cleanup", "migrate", "rotate_keys"]


async def migrate() -> None:
    """Migrate the database, and print its address; raises what ``Database.migrate`` raises."""
    # A migration neither reads nor writes tokens, so any key will do.
    database = Database(DatabaseSettings().database_url, [Fernet.generate_key().decode("ascii")])
    try:
        with progress("Migrating"):
            await database.migrate()
    finally:
        await database.aclose()
    typer.echo(f"{database.name} is up to date.")


async def cleanup(*, as_json: bool) -> None:
    """Delete what can never be used again, and print how many tokens that were."""
    async with Runtime().entered() as parts:
        with progress("Deleting tokens", as_json=as_json) as advance:
            deleted = await parts.cleanup.run(on_batch=advance)
    typer.echo(json.dumps({"deleted": deleted}) if as_json else f"{_tokens(deleted)} deleted.")


async def rotate_keys(*, as_json: bool) -> None:
    """Re-encrypt what is not under the first key, and print how many tokens that were."""
    async with Runtime().entered() as parts:
        with progress("Re-encrypting", as_json=as_json) as advance:
            count = await rotate_encryption_keys(
                parts.access_tokens, on_batch=lambda changed, last: advance(changed, _part(last))
            )
    typer.echo(json.dumps({"re_encrypted": count}) if as_json else f"{_tokens(count)} re-encrypted.")


def _tokens(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"


def _part(access_token_id: str) -> float:
    """Return which part of all rows comes before this one: they are read in the order of their ids, random UUIDs."""
    return int(access_token_id[:8], 16) / 16**8
