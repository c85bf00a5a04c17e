"""First catalog: volumes, sets, members, verifications, jobs, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "volumes",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("group", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("region_size", sa.BigInteger, nullable=False),
        sa.Column("plex_paths", sa.Text, nullable=False),
        sa.Column("recorded", sa.String(32), nullable=False),
    )
    op.create_table(
        "sets",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("label", sa.String(64), nullable=False),
        sa.Column("group", sa.String(64), nullable=False),
        sa.Column("created", sa.String(32), nullable=False),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("consistency", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("pinned_until", sa.String(32)),
        sa.Column("hold_us", sa.BigInteger, nullable=False),
    )
    op.create_index("sets_by_group", "sets", ["group", "created"])
    op.create_table(
        "members",
        sa.Column(
            "set_id", sa.String(36), sa.ForeignKey("sets.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("volume", sa.String(64), primary_key=True),
        sa.Column("plex", sa.String(64), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
    _create_history()


def _create_history() -> None:
    op.create_table(
        "verifications",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "set_id", sa.String(36), sa.ForeignKey("sets.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("check", sa.String(32), nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
    )
    op.create_index("ix_verifications_set_id", "verifications", ["set_id"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("volume", sa.String(64), nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("bytes_copied", sa.BigInteger, nullable=False),
        sa.Column("bytes_zeroed", sa.BigInteger, nullable=False),
        sa.Column("bytes_total", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.Text, nullable=False),
    )
    op.create_index("jobs_by_volume", "jobs", ["volume", "started"])
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("volume", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
