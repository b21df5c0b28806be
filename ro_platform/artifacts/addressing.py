"""Where things are in a store: blobs by digest, bindings by asset and manifest, receipts by gate,
and the tombstones of what was erased.

========================================================================  =====================
``blobs/sha256/<2 hex>/<62 hex>``                                         the bytes
``erased/sha256/<2 hex>/<62 hex>.json``                                   a tombstone
``refs/<asset>/fingerprint=<64 hex>/rev=<6 digits>.json``                 a binding (BoundRef)
``receipts/<asset>/fingerprint=<64 hex>/<gate_id>/<attempt_id>.json``     a verdict (GateReceipt)
========================================================================  =====================

An asset's key parts are joined by slashes; none can hold ``=``, so each form parses back one way.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ro_platform import errors
from ro_platform.artifacts.backends.base import checked_name

BLOBS = "blobs/sha256/"
TOMBSTONES = "erased/sha256/"
BINDINGS = "refs/"
RECEIPTS = "receipts/"
MAX_REVISION = 999_999

_ASSET = r"(?P<asset>[A-Za-z0-9_\-]+(?:/[A-Za-z0-9_\-]+)*)"
_FINGERPRINT = r"fingerprint=(?P<fingerprint>[a-f0-9]{64})"
_BLOB = re.compile(r"blobs/sha256/([a-f0-9]{2})/([a-f0-9]{62})")
_BINDING = re.compile(rf"refs/{_ASSET}/{_FINGERPRINT}/rev=(?P<revision>\d{{6}})\.json")
_RECEIPT = re.compile(
    rf"receipts/{_ASSET}/{_FINGERPRINT}/(?P<gate>[A-Za-z0-9_.\-]+)/(?P<attempt>[a-f0-9]{{32}})\.json"
)
_ASSET_PATH = re.compile(_ASSET)
_HEX64 = re.compile(r"[a-f0-9]{64}")


class BindingAddress(NamedTuple):
    """One revision (from 1) of an asset's artifact under a manifest."""

    asset: str
    fingerprint: str
    revision: int

    @property
    def name(self) -> str:
        """The object's name."""
        if not 1 <= self.revision <= MAX_REVISION:
            raise errors.InvalidInputError(
                f"{self.asset} has no revision {self.revision}: they go from 1 to {MAX_REVISION}."
            )
        return f"{revisions_of(self.asset, self.fingerprint)}rev={self.revision:06d}.json"


class ReceiptAddress(NamedTuple):
    """The one verdict of a gate's attempt on an asset under a manifest."""

    asset: str
    fingerprint: str
    gate_id: str
    attempt_id: str

    @property
    def name(self) -> str:
        """The object's name."""
        folder = _folder(RECEIPTS, self.asset, self.fingerprint)
        return checked_name(f"{folder}{self.gate_id}/{self.attempt_id}.json")


def blob_name(digest: str) -> str:
    """Where the bytes with that SHA-256 (64 lowercase hex) are."""
    return f"{BLOBS}{digest[:2]}/{digest[2:]}"


def tombstone_name(digest: str) -> str:
    """Where it says that the bytes with that SHA-256 were erased."""
    return f"{TOMBSTONES}{digest[:2]}/{digest[2:]}.json"


def digest_of_blob(name: str) -> str | None:
    """The SHA-256 in a blob's name, or None if the name is not a blob's."""
    found = _BLOB.fullmatch(name)
    return found[1] + found[2] if found else None


def revisions_of(asset: str, fingerprint: str) -> str:
    """The prefix shared by all revisions of one binding."""
    return _folder(BINDINGS, asset, fingerprint)


def parse_binding(name: str) -> BindingAddress | None:
    """The address in a binding's name, or None if the name is not a binding's."""
    found = _BINDING.fullmatch(name)
    if found is None or int(found["revision"]) == 0:
        return None
    return BindingAddress(found["asset"], found["fingerprint"], int(found["revision"]))


def parse_receipt(name: str) -> ReceiptAddress | None:
    """The address in a receipt's name, or None if the name is not a receipt's."""
    found = _RECEIPT.fullmatch(name)
    if found is None:
        return None
    return ReceiptAddress(found["asset"], found["fingerprint"], found["gate"], found["attempt"])


def is_asset(asset: str) -> bool:
    """Whether it is an asset path, so that something can be bound to it."""
    return _ASSET_PATH.fullmatch(asset) is not None


def checked_asset(asset: str) -> str:
    """The asset path itself. Raises :class:`InvalidInputError` if it is none."""
    if not is_asset(asset):
        raise errors.InvalidInputError(
            f"{asset!r} is not an asset path.",
            next_step="Join the asset key's parts with slashes; letters, digits, _ and - only.",
            asset=asset,
        )
    return asset


def _folder(space: str, asset: str, fingerprint: str) -> str:
    if not _HEX64.fullmatch(fingerprint):
        raise errors.InvalidInputError(
            f"{fingerprint!r} is not a manifest fingerprint (64 lowercase hex digits).",
            next_step="`ro manifest fingerprint FILE` prints it.",
            fingerprint=fingerprint,
        )
    return f"{space}{checked_asset(asset)}/fingerprint={fingerprint}/"
