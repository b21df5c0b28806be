"""The revisions of the ledger's schema, one module each, with the SQL for each engine beside it."""
