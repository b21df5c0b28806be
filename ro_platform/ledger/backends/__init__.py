"""Where a ledger's rows live. :mod:`.base` is the specification, the others keep to it."""
