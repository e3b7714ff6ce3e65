"""Store which tokens the Hub has revoked, and when its list is due.

Revision ID: zaikio_0002
Revises: zaikio_0001
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "zaikio_0002"
down_revision = "zaikio_0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "zaikio_revocations",
        sa.Column("jti", sa.String(255), primary_key=True),
        sa.Column("revoked_at", INSTANT, nullable=False),
    )
    op.create_index("ix_zaikio_revocations_revoked_at", "zaikio_revocations", ["revoked_at"])
    op.create_table(
        "zaikio_schedule",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("due_at", INSTANT, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("zaikio_schedule")
    op.drop_table("zaikio_revocations")
