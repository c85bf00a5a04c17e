"""Verifications: how long they took, what they saw, and of which copies."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("seconds", sa.Float, nullable=False, server_default="0"),
        sa.Column("evidence", sa.Text, nullable=False, server_default="{}"),
        sa.Column("copies", sa.Text, nullable=False, server_default=""),
    ):
        op.add_column("verifications", column)
