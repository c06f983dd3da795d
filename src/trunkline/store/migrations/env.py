"""What Alembic runs around the revisions: the transaction is the one that `upgrade` holds."""

from alembic import context

from trunkline.store.upgrade import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"], version_table=VERSION_TABLE, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
