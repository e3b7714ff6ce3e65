"""Store which events of the Hub have been dealt with.

Revision ID: zaikio_0006
Revises: zaikio_0005
"""

from __future__ import annotations

import sqlalchemy as sa

from zaikio_oauth.store import schema_changes as change

revision = "zaikio_0006"
down_revision = "zaikio_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    change.create_table(
        "zaikio_handled_events",
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=False),
    )
    change.create_index("ix_zaikio_handled_events_handled_at", "zaikio_handled_events", ["handled_at"])


def downgrade() -> None:
    change.drop_table("zaikio_handled_events")
