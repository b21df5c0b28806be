"""Runs: manifests and their registration, attempts and their history, what is left to do."""
