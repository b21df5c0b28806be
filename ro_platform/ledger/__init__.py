"""The append-only history of one environment: a Merkle log after RFC 9162 over canonical entries.

Code against :class:`~ro_platform.ledger.log.Ledger`; a backend only stores what it is given.
"""
