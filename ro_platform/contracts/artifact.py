"""References to immutable bytes: by locator, and by the digests that make the locator checkable."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, StringConstraints

from ro_platform.contracts.base import AssetPath, Contract, Hex32, Hex64, Name

Locator = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$"),
    Field(description="Where the bytes are found: a path in the store, or beside a manifest."),
]
MediaType = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9.+\-]+/[a-z0-9.+\-]+$", max_length=128)
]


Executable = Annotated[
    Literal[True] | None,
    Field(description="True for a file that its owner may execute; otherwise left out."),
]


class ArtifactRef(Contract):
    """What identifies an artifact. Foreign refs may lack all but ``ref``; ours are complete."""

    ref: Locator
    digest: Hex64 | None = None
    digest_alg: Literal["sha256"] | None = None
    size_bytes: NonNegativeInt | None = None
    media_type: MediaType | None = None
    schema_version: Name | None = None
    blake3: Hex64 | None = Field(default=None, description="A second digest of the same bytes.")


class BoundRef(ArtifactRef):
    """A complete reference, as this plane writes it: every field but the schema is present, and
    ``executable`` where it is true."""

    digest: Hex64
    digest_alg: Literal["sha256"] = "sha256"
    size_bytes: NonNegativeInt
    media_type: MediaType
    blake3: Hex64
    executable: Executable = None


_ANY = r"[^/\\\x00-\x1f\x7f]"
_PLAIN = r"[^./\\\x00-\x1f\x7f]"
_SEGMENT = rf"({_PLAIN}{_ANY}*|\.{_PLAIN}{_ANY}*|\.\.{_ANY}+)"
TreePath = Annotated[
    str,
    StringConstraints(pattern=rf"^{_SEGMENT}(/{_SEGMENT})*$", max_length=1024),
    Field(description="Relative POSIX path; no empty, '.' or '..' part, no backslash."),
]


class TreeMember(Contract):
    """One file of a multi-file artifact: its relative POSIX path and its bytes' digests."""

    path: TreePath
    digest: Hex64
    size_bytes: NonNegativeInt
    blake3: Hex64
    executable: Executable = None


class ArtifactTree(Contract):
    """The manifest blob of a multi-file artifact: members by path, so one digest covers all."""

    kind: Literal["ro.artifact_tree.v0"] = "ro.artifact_tree.v0"
    members: tuple[TreeMember, ...]


class NamedArtifact(Contract):
    """An artifact under the name (asset or input) by which the work knew it."""

    name: str
    artifact: BoundRef


class UsedArtifact(Contract):
    """A bound artifact that went into another: its binding's locator, and its digest."""

    ref: Locator
    digest: Hex64


class ArtifactBound(Contract):
    """The ledger's body for an artifact that an attempt bound to an asset under a manifest.

    It mentions ``digest/<digest>`` and, for each input, ``used/<locator>``; also
    ``train_run/<train_run_id>`` and ``bundle/<bundle_id>`` where its correlation ids have them.
    """

    asset: AssetPath
    manifest_fingerprint: Hex64
    attempt_id: Hex32
    artifact: BoundRef
    inputs: tuple[UsedArtifact, ...] | None = None


class ArtifactBlocked(Contract):
    """The ledger's body for an artifact that a revocation blocks until it is made again.

    ``because`` are the locators of its inputs that were revoked or blocked themselves.
    """

    asset: AssetPath
    manifest_fingerprint: Hex64
    artifact: UsedArtifact
    because: tuple[Locator, ...]
    admin_event_id: Name
