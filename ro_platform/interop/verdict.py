"""What verifying a bundle answers: PASS or FAIL, by which rule, and what differs."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from ro_platform.contracts.base import Contract, Hex64
from ro_platform.contracts.gate import GateStatus
from ro_platform.errors import EngineGateFailedError
from ro_platform.interop.laws import LawOptions


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
        raise EngineGateFailedError(
            f"{self.bundle}: {self.first_difference}.",
            next_step="Do not read this output: ask its producer to seal it anew. An expected "
            "digest is never edited to match.",
            law=self.rule.law,
            rule_digest=self.rule_digest,
            expected_digest=self.expected_digest,
            computed_digest=self.computed_digest,
            likely_cause=self.likely_cause.cause if self.likely_cause else None,
        )
