"""Daily operations: the journal of actions, leases, documents of sets, remarks; rows of several
hosts beside one another."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_VOLUMES = '"name", "uuid", "group", "size", "region_size", "plex_paths", "recorded"'


def _owner() -> sa.Column[str]:
    return sa.Column("owner", sa.String(36), nullable=False, server_default="")


def upgrade() -> None:
    for table in ("sets", "jobs", "events"):
        op.add_column(table, _owner())
    _volumes_by_owner()
    op.create_table(
        "actions",
        _owner(),
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("run_id", sa.String(36), nullable=False, index=True),
        sa.Column("group", sa.String(64), nullable=False, index=True),
        sa.Column("provider", sa.String(32), nullable=False),
        sa.Column("verb", sa.String(16), nullable=False),
        sa.Column("set_id", sa.String(36), nullable=False, server_default=""),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started", sa.String(32), nullable=False),
        sa.Column("ended", sa.String(32)),
        sa.Column("detail", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "leases",
        sa.Column("volume", sa.String(255), primary_key=True),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False, server_default=""),
        sa.Column("until", sa.Float, nullable=False),
    )
    op.create_table(
        "documents",
        _owner(),
        sa.Column("set_id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("paths", sa.Text, nullable=False, server_default="[]"),
        sa.Column("recorded", sa.String(32), nullable=False),
    )
    op.create_table(
        "remarks",
        _owner(),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("set_id", sa.String(36), nullable=False, index=True),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "measures",
        _owner(),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("group", sa.String(64), nullable=False, index=True),
        sa.Column("set_id", sa.String(36), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("value", sa.Float, nullable=False),
    )


def _volumes_by_owner() -> None:
    """Hosts may use the same names: the key gets the owner, which SQLite cannot add to a table."""
    op.create_table(
        "volumes_by_owner",
        sa.Column("owner", sa.String(36), primary_key=True, server_default=""),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("group", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("region_size", sa.BigInteger, nullable=False),
        sa.Column("plex_paths", sa.Text, nullable=False),
        sa.Column("recorded", sa.String(32), nullable=False),
    )
    op.execute(f"INSERT INTO volumes_by_owner ({_VOLUMES}) SELECT {_VOLUMES} FROM volumes")
    op.drop_table("volumes")
    op.rename_table("volumes_by_owner", "volumes")
