"""Create zaikio_access_tokens, and the tables for leases and used flows.

Revision ID: zaikio_0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa

from zaikio_oauth.store import schema_changes as change

revision = "zaikio_0001"
down_revision = None
branch_labels = ("zaikio_oauth",)
depends_on = None

# The types are spelled out here: a migration describes the schema at one moment and must not change with the code.
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    change.create_table(
        "zaikio_access_tokens",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("jti", sa.String(255)),
        sa.Column("audience", sa.String(255), nullable=False),
        sa.Column("bearer_type", sa.String(32), nullable=False),
        sa.Column("bearer_id", sa.String(255), nullable=False),
        sa.Column("on_behalf_of", sa.JSON()),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("requested_scopes", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("refresh_token", sa.Text()),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("refresh_expires_at", INSTANT),
        sa.Column("revoked_at", INSTANT),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
    )
    change.create_index(
        "ix_zaikio_access_tokens_bearer",
        "zaikio_access_tokens",
        ["audience", "bearer_type", "bearer_id", "expires_at"],
    )
    change.create_index("ix_zaikio_access_tokens_jti", "zaikio_access_tokens", ["jti"])
    change.create_index("ix_zaikio_access_tokens_expires_at", "zaikio_access_tokens", ["expires_at"])
    change.create_table(
        "zaikio_leases",
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("holder", sa.String(36), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("acquired_at", INSTANT, nullable=False),
    )
    change.create_table(
        "zaikio_used_flows",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("expires_at", INSTANT, nullable=False),
    )
    change.create_index("ix_zaikio_used_flows_expires_at", "zaikio_used_flows", ["expires_at"])


def downgrade() -> None:
    change.drop_table("zaikio_used_flows")
    change.drop_table("zaikio_leases")
    change.drop_table("zaikio_access_tokens")
