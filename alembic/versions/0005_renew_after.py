"""Store until when a token is not renewed.

Revision ID: zaikio_0005
Revises: zaikio_0004
"""

from __future__ import annotations

import sqlalchemy as sa

from zaikio_oauth.store import schema_changes as change

revision = "zaikio_0005"
down_revision = "zaikio_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Nullable, so that processes of the previous version keep working.
    change.add_column("zaikio_access_tokens", sa.Column("renew_after", sa.DateTime(timezone=True)))


def downgrade() -> None:
    change.drop_column("zaikio_access_tokens", "renew_after")
