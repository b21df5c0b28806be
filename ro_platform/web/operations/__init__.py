"""The operations page: what stands, what waits, what went wrong, and the forms to act on it."""
