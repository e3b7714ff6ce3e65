"""The tables. Migrations in ``alembic/versions`` create the same columns; a test compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Index, MetaData, String, Table, Text, text

from zaikio_oauth.store.columns import Ciphertext, UtcDateTime

__all__ = ["Tables"]


class Tables:
    """The tables of one database.

    ``dialect``: SQLAlchemy's name of it, for the conditions of partial indexes. Whoever needs only the names and the
    columns gives none, because a dialect that is named is imported.
    """

    def __init__(self, dialect: str | None = None) -> None:
        self.metadata: MetaData = MetaData()
        self.access_tokens: Table = _access_tokens(self.metadata, dialect)
        self.leases: Table = Table(
            "zaikio_leases",
            self.metadata,
            Column("key", String(128), primary_key=True),
            Column("holder", String(36), nullable=False),
            Column("beat", BigInteger, nullable=False),
            Column("acquired_at", UtcDateTime, nullable=False),
        )
        self.revocations: Table = Table(
            "zaikio_revocations",
            self.metadata,
            Column("jti", String(255), primary_key=True),
            Column("revoked_at", UtcDateTime, nullable=False),
            Index("ix_zaikio_revocations_revoked_at", "revoked_at"),
        )
        self.schedule: Table = Table(
            "zaikio_schedule",
            self.metadata,
            Column("key", String(64), primary_key=True),
            Column("due_at", UtcDateTime, nullable=False),
        )
        self.handled_events: Table = Table(
            "zaikio_handled_events",
            self.metadata,
            Column("digest", String(64), primary_key=True),
            Column("handled_at", UtcDateTime, nullable=False),
            Index("ix_zaikio_handled_events_handled_at", "handled_at"),
        )
        self.used_flows: Table = Table(
            "zaikio_used_flows",
            self.metadata,
            Column("digest", String(64), primary_key=True),
            Column("expires_at", UtcDateTime, nullable=False),
            # Which callback it was, so that one that has to write twice recognizes its own row.
            Column("used_by", String(36)),
            Index("ix_zaikio_used_flows_expires_at", "expires_at"),
        )
        self.lost_connections: Table = _lost_connections(self.metadata)

    def __repr__(self) -> str:
        return f"<Tables {sorted(self.metadata.tables)}>"


def _access_tokens(metadata: MetaData, dialect: str | None) -> Table:
    return Table(
        "zaikio_access_tokens",
        metadata,
        Column("id", String(36), primary_key=True),
        Column("jti", String(255)),
        Column("audience", String(255), nullable=False),
        Column("bearer_type", String(32), nullable=False),
        Column("bearer_id", String(255), nullable=False),
        Column("on_behalf_of", JSON(none_as_null=True)),
        Column("scopes", Text, nullable=False),
        Column("requested_scopes", Text, nullable=False),
        Column("token", Ciphertext, nullable=False),
        Column("refresh_token", Ciphertext),
        Column("version", BigInteger, nullable=False),
        Column("expires_at", UtcDateTime, nullable=False),
        Column("refresh_expires_at", UtcDateTime),
        Column("revoked_at", UtcDateTime),
        Column("created_at", UtcDateTime, nullable=False),
        Column("updated_at", UtcDateTime, nullable=False),
        Column("delegated_from", String(36)),
        Column("renew_after", UtcDateTime),
        # When everybody was told that it cannot be renewed.
        Column("lost_at", UtcDateTime),
        Index("ix_zaikio_access_tokens_newest", "audience", "bearer_type", "bearer_id", "updated_at"),
        Index("ix_zaikio_access_tokens_jti", "jti"),
        # The three ways in which a grant ends, in the order in which they do. The ids tell apart what ends at once.
        _partial(dialect, "revoked", "revoked_at", "revoked_at IS NOT NULL"),
        _partial(dialect, "refresh_ends", "refresh_expires_at", "refresh_expires_at IS NOT NULL"),
        _partial(dialect, "not_refreshable", "expires_at", "refresh_token IS NULL"),
    )


def _partial(dialect: str | None, name: str, column: str, where: str) -> Index:
    condition: dict[str, Any] = {f"{dialect}_where": text(where)} if dialect else {}
    return Index(f"ix_zaikio_access_tokens_{name}", column, "id", **condition)


def _lost_connections(metadata: MetaData) -> Table:
    """Return the table of what is left of a connection whose grant was lost and deleted."""
    return Table(
        "zaikio_lost_connections",
        metadata,
        Column("client_name", String(255), primary_key=True),
        Column("bearer_type", String(32), primary_key=True),
        Column("bearer_id", String(255), primary_key=True),
        Column("access_token_id", String(36), nullable=False),
        Column("scopes", Text, nullable=False),
        Column("connected_at", UtcDateTime, nullable=False),
        Column("refreshed_at", UtcDateTime),
        Column("expires_at", UtcDateTime, nullable=False),
        Column("refresh_expires_at", UtcDateTime),
        Column("lost_at", UtcDateTime, nullable=False),
        Index("ix_zaikio_lost_connections_lost_at", "lost_at"),
    )
