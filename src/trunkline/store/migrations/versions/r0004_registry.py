"""The catalog as a registry that servers follow, and what traffic measured."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("catalog", sa.Column("how", sa.String(10), nullable=False, server_default="deploy"))
    op.add_column("catalog", sa.Column("passed", sa.Boolean, nullable=False, server_default=sa.true()))
    op.add_column("catalog", sa.Column("figures", sa.JSON, nullable=False, server_default="{}"))
    op.create_index("ix_catalog_product", "catalog", ["product", "id"])
    op.create_table(
        "traffic",
        sa.Column("product", sa.String(80), primary_key=True),
        sa.Column("tally", sa.JSON, nullable=False),
    )
