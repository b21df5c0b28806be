"""The listings of the code that this process has loaded, until they are kept with a gate set.

A listing is the blob whose digest is in the rule's ``code_version`` (``rule1-``), or in an asset's
(``code1-``).
"""

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from ro_platform.artifacts.store import ArtifactStore
from ro_platform.contracts import GateRule
from ro_platform.kernel.code.listing import Listing
from ro_platform.plane import Plane

LISTING = "application/vnd.ro.code-listing+json"

_listings: dict[str, bytes] = {}
_kept: WeakKeyDictionary[ArtifactStore, set[str]] = WeakKeyDictionary()


def remember(prefix: str, listing: Listing) -> str:
    """Keep a listing in this process; gives the code version that names it."""
    code_version = prefix + listing.digest
    _listings[code_version] = listing.data
    return code_version


def known_listing(code_version: str) -> bytes | None:
    """The listing of a rule or an asset of the code that this process has loaded."""
    return _listings.get(code_version)


def keep_listings(plane: Plane, rules: Iterable[GateRule]) -> None:
    """Store the listings of these rules, before they are put on record.

    A crash afterwards leaves blobs that nothing refers to.
    """
    kept = _kept.setdefault(plane.store, set())
    for name in (rule.code_version for rule in rules):
        if name not in kept and (data := _listings.get(name)) is not None:
            plane.store.put_bytes(data, media_type=LISTING)
            kept.add(name)
