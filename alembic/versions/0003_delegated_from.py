"""Store which token a delegated token was delegated from.

Revision ID: zaikio_0003
Revises: zaikio_0002
"""

from __future__ import annotations

import sqlalchemy as sa

from zaikio_oauth.store import schema_changes as change

revision = "zaikio_0003"
down_revision = "zaikio_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable, so that processes of the previous version keep working.
    change.add_column("zaikio_access_tokens", sa.Column("delegated_from", sa.String(36)))


def downgrade() -> None:
    change.drop_column("zaikio_access_tokens", "delegated_from")
