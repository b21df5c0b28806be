"""The engine's formats: its objects, addresses, gate laws and lineage hashes, read and verified."""
