"""Which version plays which role for a product, and long jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _catalog()
    _jobs()


def _catalog() -> None:
    op.create_table(
        "catalog",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("product", sa.String(80), nullable=False),
        sa.Column("version", sa.String(80), nullable=False),
        sa.Column("digest", sa.String(80), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("who", sa.String(120), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("ended", _TIME),
        sa.CheckConstraint("role IN ('live', 'canary', 'shadow')", name="ck_catalog_role"),
        sa.CheckConstraint("share > 0 AND share <= 100", name="ck_catalog_share"),
    )
    present = sa.text("ended IS NULL")
    op.create_index(
        "uq_catalog_role",
        "catalog",
        ["product", "role"],
        unique=True,
        sqlite_where=present,
        postgresql_where=present,
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("product", sa.String(80), nullable=False),
        sa.Column("organisation", sa.String(80), nullable=False),
        sa.Column("owner", sa.String(80), nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("progress", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(80)),
        sa.Column("lease", _TIME),
        sa.Column("result", sa.JSON),
        sa.Column("created", _TIME, nullable=False),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="ck_jobs_state"),
    )
    op.create_index("ix_jobs_state", "jobs", ["state", "created"])
