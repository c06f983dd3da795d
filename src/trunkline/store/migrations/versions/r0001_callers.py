"""Organisations, their callers, and the answers kept for repeated calls."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "organisations",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("created", _TIME, nullable=False),
    )
    op.create_table(
        "callers",
        sa.Column("prefix", sa.String(16), primary_key=True),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column(
            "organisation",
            sa.String(80),
            sa.ForeignKey("organisations.name", name="fk_callers_organisation"),
            nullable=False,
        ),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("revoked", _TIME),
        sa.Column("expires", _TIME),
        sa.UniqueConstraint("hash", name="uq_callers_hash"),
    )
    op.create_table(
        "idempotency",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("organisation", sa.String(80), nullable=False),
        sa.Column("caller", sa.String(80), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("claim", sa.String(32), nullable=False),
        sa.Column("until", _TIME, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("body", sa.LargeBinary),
        sa.Column("created", _TIME, nullable=False),
        sa.UniqueConstraint("organisation", "caller", "key", name="uq_idempotency_key"),
    )
    op.create_index("ix_idempotency_created", "idempotency", ["created"])
