"""The engine's gate laws: one registry, one implementation each.

A law says which bytes, in which order, go through one SHA-256. None of them hashes names, lengths
or separators; what that leaves open is closed by each member's own digest
(:mod:`ro_platform.engine_formats.verification`). "Sorted by path" means by the path's UTF-8 bytes,
the whole relative POSIX path as one string: ASCII order for ASCII paths, no locale, no
normalisation.

What verifying a bundle answers: PASS or FAIL, by which rule, and what differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from ro_platform import errors
from ro_platform.contracts.base import Contract, Hex64
from ro_platform.contracts.gate import GateStatus
from ro_platform.engine_formats.bundle import FLAG, INDEX, Bundle, FilePlace, bundle_refused

Chunks = Callable[[FilePlace], Iterable[bytes]]
"""How a law reads a file: its bytes, in pieces."""


class LawOptions(Contract):
    """What a law may be told. Where the index's paths start from is the bundle's affair."""

    index_order: bool = False
    without_index: bool = False

    def chosen(self) -> tuple[str, ...]:
        """The names of those that are on."""
        return tuple(name for name, on in self if on)


@dataclass(frozen=True)
class Law:
    """A gate law: the pieces it hashes (files, or bytes of its own), and the options it has."""

    name: str
    pieces: Callable[[Bundle, LawOptions], Sequence[FilePlace | bytes]]
    options: frozenset[str] = frozenset()

    def check(self, options: LawOptions) -> None:
        """Raise :class:`BundleRefusedError` for an option that this law does not have."""
        for name in options.chosen():
            if name not in self.options:
                raise bundle_refused(f"the law {self.name} has no option {name}")

    def digest(self, bundle: Bundle, options: LawOptions, chunks: Chunks | None = None) -> str:
        """The law's SHA-256 in hex, over what ``chunks`` reads (by default the bundle itself).

        Raises :class:`NotFoundError` for a missing member, and :class:`BundleRefusedError` where
        the law cannot be applied or would hash nothing.
        """
        pieces = self.pieces(bundle, options)
        if not pieces:
            raise bundle_refused(f"under {self.name} nothing would be hashed")
        state = hashlib.sha256()
        for piece in pieces:
            for chunk in (piece,) if isinstance(piece, bytes) else (chunks or bundle.chunks)(piece):
                state.update(chunk)
        return state.hexdigest()


def _every_file(bundle: Bundle, _: LawOptions) -> list[FilePlace]:
    return [FilePlace(name) for name in bundle.files if name != FLAG]


def _listed_files(bundle: Bundle, options: LawOptions) -> list[FilePlace]:
    paths = _indexed(bundle).paths
    ordered = paths if options.index_order else sorted(paths, key=str.encode)
    places = map(bundle.place, ordered)
    return [item for item in places if not (options.without_index and item == FilePlace(INDEX))]


def _member_digests(bundle: Bundle, _: LawOptions) -> list[bytes]:
    return list(_own_digests(_indexed(bundle)))


def _own_digests(bundle: Bundle) -> Iterator[bytes]:
    for member in bundle.members:
        if member.sha256_hex is None:
            raise bundle_refused(
                f"{member.path!r} has no sha256_hex in {INDEX}, and the law needs it"
            )
        yield member.sha256_hex.encode()


def _indexed(bundle: Bundle) -> Bundle:
    if bundle.index is None:
        raise bundle_refused(f"{bundle.folder.path} has no {INDEX}, and the law needs it")
    return bundle


_LAWS = (
    Law("sha256_bundle_digest", _every_file),
    Law(
        "sha256_index_json_ascii_lex_raw_bytes",
        _listed_files,
        frozenset({"index_order", "without_index"}),
    ),
    Law("sha256_member_digest_concat", _member_digests),
)
LAWS = {law.name: law for law in _LAWS}


def law_named(name: str) -> Law:
    """The law of that name. Raises :class:`BundleRefusedError`: no law, no verdict."""
    if name in LAWS:
        return LAWS[name]
    raise errors.BundleRefusedError(
        f"There is no verdict: {name!r} is no gate law.",
        next_step=f"Name the law that the bundle's gate declares: {', '.join(LAWS)}.",
        law=name,
    )


class EngineRule(Contract):
    """What a bundle is judged by; hashed (canonical bytes) to the verdict's ``rule_digest``."""

    law: str
    path_base: Literal["bundle", "run_root"]
    options: LawOptions


class DifferenceKind(StrEnum):
    """What does not agree."""

    FLAG_SCOPE = "flag_scope"
    MEMBER_MISSING = "member_missing"
    MEMBER_DIGEST = "member_digest"
    BUNDLE_DIGEST = "bundle_digest"


class Difference(Contract):
    """One disagreement: which file (None: the whole bundle), what was sealed, what is there."""

    kind: DifferenceKind
    path: str | None = None
    expected: str
    found: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case DifferenceKind.MEMBER_MISSING:
                return f"{self.path} is listed and missing"
            case DifferenceKind.MEMBER_DIGEST:
                return f"{self.path} has sha256 {self.found}, the index says {self.expected}"
            case DifferenceKind.FLAG_SCOPE:
                return f"the flag is for manifest {self.found}, the folder for {self.expected}"
        return f"the law gives {self.found or 'no digest'}, the flag says {self.expected}"


class Cause(StrEnum):
    """The likely cause of a FAIL."""

    LINE_ENDS = "line_ends_changed"
    BYTES_MOVED = "bytes_moved_between_members"
    MEMBER_EDITED = "member_edited"
    MEMBER_MISSING = "member_missing"
    MEMBER_ADDED = "member_added"
    OTHER_RULE = "other_law_or_options"
    OTHER_FLAG = "flag_of_another_bundle"
    UNKNOWN = "unknown"


class Diagnosis(Contract):
    """A likely cause, and in words what it rests on."""

    cause: Cause
    explanation: str


class EngineGateVerdict(Contract):
    """The outcome. Only PASS opens the output, and only for the bytes that were read."""

    status: GateStatus
    bundle: str
    rule: EngineRule
    rule_digest: Hex64
    flag_kind: Literal["text", "json"]
    manifest_fingerprint: Hex64 | None = None
    expected_digest: Hex64
    computed_digest: Hex64 | None = None
    first_difference: Difference | None = None
    differing_members: tuple[str, ...] = ()
    likely_cause: Diagnosis | None = None
    members_listed: int
    members_verified: int
    uncovered: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def require_pass(self) -> None:
        """Raise :class:`EngineGateFailedError` unless it is PASS."""
        if self.status is GateStatus.PASS:
            return
        raise errors.EngineGateFailedError(
            f"{self.bundle}: {self.first_difference}.",
            next_step="Do not read this output: ask its producer to seal it anew. An expected "
            "digest is never edited to match.",
            law=self.rule.law,
            rule_digest=self.rule_digest,
            expected_digest=self.expected_digest,
            computed_digest=self.computed_digest,
            likely_cause=self.likely_cause.cause if self.likely_cause else None,
        )
