"""Store which callback has used a flow.

Revision ID: zaikio_0004
Revises: zaikio_0003
"""

from __future__ import annotations

import sqlalchemy as sa

from zaikio_oauth.store import schema_changes as change

revision = "zaikio_0004"
down_revision = "zaikio_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable, so that processes of the previous version keep working.
    change.add_column("zaikio_used_flows", sa.Column("used_by", sa.String(36)))


def downgrade() -> None:
    change.drop_column("zaikio_used_flows", "used_by")
