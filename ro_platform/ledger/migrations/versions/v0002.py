"""Version 2. SQLite: entries can be found by what they mention, as in PostgreSQL from version 1 on
(no entry of version 1 mentions anything). PostgreSQL: a role without any right to change a table
can take its turn as the writer."""

from ro_platform.ledger.migrations.statements import add_from_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add it."""
    add_from_file(revision)
