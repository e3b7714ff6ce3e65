"""Store which tokens the Hub has revoked, and when its list is due.

Revision ID: zaikio_0002
Revises: zaikio_0001
"""

from __future__ import annotations

import sqlalchemy as sa

from zaikio_oauth.store import schema_changes as change

revision = "zaikio_0002"
down_revision = "zaikio_0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    change.create_table(
        "zaikio_revocations",
        sa.Column("jti", sa.String(255), primary_key=True),
        sa.Column("revoked_at", INSTANT, nullable=False),
    )
    change.create_index("ix_zaikio_revocations_revoked_at", "zaikio_revocations", ["revoked_at"])
    change.create_table(
        "zaikio_schedule",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("due_at", INSTANT, nullable=False),
    )


def downgrade() -> None:
    change.drop_table("zaikio_schedule")
    change.drop_table("zaikio_revocations")
