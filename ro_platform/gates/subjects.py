"""Under which subjects the ledger keeps what the guard asks for.

================  ==============================================  ====================
entry             subject                                         about
================  ==============================================  ====================
gate_set_declared ``asset/<asset>``                               the gates of an asset
artifact_bound    ``artifact/<locator>``                          who made it, from what
artifact_blocked  ``artifact/<locator>``                          what it was made from was revoked
gate_receipt      ``gate/<id>/<manifest>/<digest>``               a verdict on exact bytes
pass_revoked      ``gate/<id>/<manifest>/<digest>/<rule digest>`` a PASS withdrawn
================  ==============================================  ====================

An ``artifact_bound`` entry also mentions the digest and each input, so that an artifact is found by
its bytes, and its consumers by its locator.
"""

from __future__ import annotations


def asset_subject(asset: str) -> str:
    """An asset's gate set."""
    return f"asset/{asset}"


def artifact_subject(locator: str) -> str:
    """One revision of an asset's artifact under a manifest, by its binding's locator."""
    return f"artifact/{locator}"


def verdict_subject(gate_id: str, fingerprint: str, digest: str) -> str:
    """What a gate said of those bytes under that manifest."""
    return f"gate/{gate_id}/{fingerprint}/{digest}"


def revocation_subject(gate_id: str, fingerprint: str, digest: str, rule_digest: str) -> str:
    """The withdrawal of a PASS that was given under that rule."""
    return f"{verdict_subject(gate_id, fingerprint, digest)}/{rule_digest}"


def digest_mention(digest: str) -> str:
    """The name by which whatever holds those bytes is found."""
    return f"digest/{digest}"


def used_mention(locator: str) -> str:
    """The name by which whatever was made from that artifact is found."""
    return f"used/{locator}"
