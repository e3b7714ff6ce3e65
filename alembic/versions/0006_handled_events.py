"""Store which events of the Hub have been dealt with.

Revision ID: zaikio_0006
Revises: zaikio_0005
"""

from __future__ import annotations

import sqlalchemy as sa

from alembic import op

revision = "zaikio_0006"
down_revision = "zaikio_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "zaikio_handled_events",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_index("ix_zaikio_handled_events_handled_at", "zaikio_handled_events", ["handled_at"])


def downgrade() -> None:
    op.drop_index("ix_zaikio_handled_events_handled_at", "zaikio_handled_events")
    op.drop_table("zaikio_handled_events")
