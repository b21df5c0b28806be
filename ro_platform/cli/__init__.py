"""``ro``: the command line of the plane, one module a noun."""
