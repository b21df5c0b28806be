"""The Run/Operate plane: deterministic runs, immutable artifacts, binding gates, one ledger."""
