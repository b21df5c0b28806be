"""Immutable artifacts: content-addressed bytes, create-only bindings, verified on every read."""
