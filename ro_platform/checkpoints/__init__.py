"""Signed checkpoints of the ledger, and the witnesses outside that keep them.

What is kept where nobody who can write the ledger can write shows a cut, forked or rewritten
history, even one that was rewritten with the stolen key.
"""
