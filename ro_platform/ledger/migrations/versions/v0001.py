"""Version 1: where the history of the schema begins; an older release made it."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing: no ledger is older."""
