"""Store when a grant was reported as lost, and which connections were lost.

Revision ID: zaikio_0007
Revises: zaikio_0006
"""

from __future__ import annotations

import sqlalchemy as sa

from zaikio_oauth.store import schema_changes as change

revision = "zaikio_0007"
down_revision = "zaikio_0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    # Nullable, so that processes of the previous version keep working.
    change.add_column("zaikio_access_tokens", sa.Column("lost_at", INSTANT))
    change.create_table(
        "zaikio_lost_connections",
        sa.Column("client_name", sa.String(255), primary_key=True),
        sa.Column("bearer_type", sa.String(32), primary_key=True),
        sa.Column("bearer_id", sa.String(255), primary_key=True),
        sa.Column("access_token_id", sa.String(36), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("connected_at", INSTANT, nullable=False),
        sa.Column("refreshed_at", INSTANT),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("refresh_expires_at", INSTANT),
        sa.Column("lost_at", INSTANT, nullable=False),
    )


def downgrade() -> None:
    change.drop_table("zaikio_lost_connections")
    change.drop_column("zaikio_access_tokens", "lost_at")
