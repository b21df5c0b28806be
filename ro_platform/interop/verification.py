"""Verifying a sealed bundle: the law's digest against the flag, and each member against the index.

PASS means: the law gives the flag's digest; every member that the index lists exists and has its
``sha256_hex`` where the index gives one; and a JSON flag names the world of the folder it lies in.
The law and the member's own digest are computed from one reading of the same bytes, and no file is
held in memory. What can be neither is a refusal (:class:`BundleRefusedError`), never a PASS.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ro_platform.contracts.gate import GateStatus
from ro_platform.errors import NotFoundError
from ro_platform.interop.bundle import INDEX, Bundle, Member, Place, open_bundle
from ro_platform.interop.diagnosis import Findings, diagnose
from ro_platform.interop.laws import Law, LawOptions, law_named
from ro_platform.interop.verdict import Difference, DifferenceKind, EngineGateVerdict, EngineRule
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex

_WORLD = ("fingerprint=", "manifest_fingerprint=")


def verify_bundle(
    path: Path,
    law: str,
    *,
    index_order: bool = False,
    without_index: bool = False,
    run_root: Path | None = None,
    flag: Path | None = None,
) -> EngineGateVerdict:
    """Judge the bundle in folder ``path`` by a law; nothing is written.

    ``run_root``: the index's paths start there (``path_base: run_root``). ``index_order`` and
    ``without_index``: options of the law. ``flag``: the flag, if it is not the bundle's own.
    Raises :class:`BundleRefusedError` where there can be no verdict.
    """
    chosen = law_named(law)
    options = LawOptions(index_order=index_order, without_index=without_index)
    chosen.check(options)
    with open_bundle(path, run_root=run_root, flag=flag) as bundle:
        rule = EngineRule(law=law, path_base="run_root" if run_root else "bundle", options=options)
        return _judge(bundle, chosen, rule)


class _Witness:
    """Reads the bundle's files, and keeps each one's own digest as a side effect."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._digests: dict[Place, str] = {}
        self.size_bytes = 0

    def chunks(self, place: Place) -> Iterator[bytes]:
        own = hashlib.sha256()
        for chunk in self._bundle.chunks(place):
            own.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk
        self._digests[place] = own.hexdigest()

    def digest(self, place: Place) -> str | None:
        """The file's SHA-256, from the reading that there was; None if it does not exist."""
        try:
            if place not in self._digests:
                for _ in self.chunks(place):
                    pass
            return self._digests[place]
        except NotFoundError:
            return None


def _judge(bundle: Bundle, law: Law, rule: EngineRule) -> EngineGateVerdict:
    witness = _Witness(bundle)
    try:
        computed = law.digest(bundle, rule.options, witness.chunks)
    except NotFoundError:
        computed = None  # a member is missing; which one, the members' own check says
    differences = (
        *_scope_differences(bundle),
        *_member_differences(bundle, witness),
        *_bundle_difference(bundle.flag.digest, computed),
    )
    return _verdict(
        rule, Findings(bundle, law, rule.options, computed, witness.size_bytes, differences)
    )


def _verdict(rule: EngineRule, findings: Findings) -> EngineGateVerdict:
    bundle, differences = findings.bundle, findings.differences
    differing = {item.path: item for item in differences if item.path is not None}
    own = [path for path, own in _others(bundle) if own is not None]
    return EngineGateVerdict(
        status=GateStatus.FAIL if differences else GateStatus.PASS,
        bundle=os.fsencode(bundle.folder.path).decode(errors="replace"),
        rule=rule,
        rule_digest=sha256_hex(canonical_bytes(rule)),
        flag_kind=bundle.flag.kind,
        manifest_fingerprint=bundle.flag.manifest_fingerprint,
        expected_digest=bundle.flag.digest,
        computed_digest=findings.computed,
        first_difference=differences[0] if differences else None,
        differing_members=tuple(differing),
        likely_cause=diagnose(findings) if differences else None,
        members_listed=len(bundle.members),
        members_verified=sum(path not in differing for path in own),
        uncovered=findings.uncovered,
        remarks=tuple(_remarks(bundle, without_own=len(_others(bundle)) - len(own))),
    )


def _others(bundle: Bundle) -> list[Member]:
    """The members but the index itself: an index cannot hold its own digest."""
    return [member for member in bundle.members if bundle.place(member.path) != Place(INDEX)]


def _bundle_difference(sealed: str, computed: str | None) -> Iterator[Difference]:
    """The law's digest against the flag's."""
    if computed != sealed:
        yield Difference(kind=DifferenceKind.BUNDLE_DIGEST, expected=sealed, found=computed)


def _member_differences(bundle: Bundle, witness: _Witness) -> Iterator[Difference]:
    """What the index says of its members against what is there, in the index's order."""
    for path, own in _others(bundle):
        found = witness.digest(bundle.place(path))
        if found is None:
            yield Difference(
                kind=DifferenceKind.MEMBER_MISSING, path=path, expected=own or "a file"
            )
        elif own not in (None, found):
            yield Difference(
                kind=DifferenceKind.MEMBER_DIGEST, path=path, expected=str(own), found=found
            )


def _scope_differences(bundle: Bundle) -> Iterator[Difference]:
    """A JSON flag that names another world than the folder does."""
    named = bundle.flag.manifest_fingerprint
    for part in bundle.folder.path.absolute().parts:
        for key in _WORLD:
            value = part.removeprefix(key)
            if part.startswith(key) and named not in (None, value):
                yield Difference(kind=DifferenceKind.FLAG_SCOPE, expected=value, found=named)


def _remarks(bundle: Bundle, *, without_own: int) -> Iterator[str]:
    """What a reader should know and what is no fault by itself."""
    if len(_others(bundle)) < len(bundle.members):
        yield f"{INDEX} lists itself; that entry can never match and is not checked"
    if bundle.index is None:
        yield f"there is no {INDEX}: bytes moved between neighbouring files would go unseen"
    if without_own:
        yield f"members without a sha256_hex: {without_own}; bytes moved between them go unseen"
    if bundle.index is not None and bundle.unlisted:
        yield f"not listed by {INDEX}: {_some(bundle.unlisted)}"


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")
