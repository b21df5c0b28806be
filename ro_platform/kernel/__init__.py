"""Pure foundations: canonical bytes, digests, identities, time as data, Merkle trees."""
