"""Dossiers: one file that proves a run to somebody who has neither this plane nor a network."""
