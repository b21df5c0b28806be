"""Verifying a sealed bundle: the law's digest against the flag, and each member against the index.

PASS means: the law gives the flag's digest; every member that the index lists exists and has its
``sha256_hex`` where the index gives one; and a JSON flag names the world of the folder it lies in.
The law and the member's own digest are computed from one reading of the same bytes, and no file is
held in memory. What can be neither is a refusal (:class:`BundleRefusedError`), never a PASS.

Why a bundle that was sealed once does not verify now: the likely cause, tried where it can be.

A diagnosis never changes a verdict. It reads the bundle again, and asks of each cause that has been
seen in practice whether undoing it gives the sealed digest.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ro_platform import errors
from ro_platform.contracts.gate import GateStatus
from ro_platform.engine_formats.bundle import INDEX, Bundle, FilePlace, Member, open_bundle
from ro_platform.engine_formats.laws import (
    LAWS,
    Cause,
    Chunks,
    Diagnosis,
    Difference,
    DifferenceKind,
    EngineGateVerdict,
    EngineRule,
    Law,
    LawOptions,
    law_named,
)
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex

_GIT_LOOKS_AT = 8000
_MAX_GROUPS = 8
_MAX_TRIAL_BYTES = 1 << 30
_LINE_ENDS = ((b"\r\n", "CRLF turned into LF"), (b"\n", "LF turned into CRLF"))


@dataclass(frozen=True)
class Findings:
    """What verification found, for those who explain it."""

    bundle: Bundle
    law: Law
    options: LawOptions
    computed: str | None
    size_bytes: int
    differences: tuple[Difference, ...]

    @property
    def hashed(self) -> tuple[FilePlace, ...]:
        """The files whose bytes the law hashes."""
        pieces = self.law.pieces(self.bundle, self.options)
        return tuple(piece for piece in pieces if isinstance(piece, FilePlace))

    @property
    def unvouched(self) -> tuple[FilePlace, ...]:
        """Those of them that have no digest of their own; the index cannot have one."""
        members = self.bundle.members
        vouched = {self.bundle.place(path) for path, own in members if own} - {FilePlace(INDEX)}
        return tuple(place for place in self.hashed if place not in vouched)

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The bundle's files that neither the law nor an entry of the index vouches for."""
        hashed = set(self.hashed)
        return tuple(name for name in self.bundle.unlisted if FilePlace(name) not in hashed)

    @property
    def too_large(self) -> bool:
        """Whether reading everything again, some twenty times, would take too long."""
        return self.size_bytes > _MAX_TRIAL_BYTES

    def of(self, kind: DifferenceKind) -> list[Difference]:
        """The differences of that kind."""
        return [item for item in self.differences if item.kind is kind]

    def gives_sealed_digest(
        self,
        *,
        law: Law | None = None,
        options: LawOptions | None = None,
        chunks: Chunks | None = None,
    ) -> bool:
        """Whether the flag's digest is what comes out under that law, options or bytes.

        A bundle of more than 1 GiB is not read again: the answer is no.
        """
        if self.too_large:
            return False
        try:
            found = (law or self.law).digest(self.bundle, options or self.options, chunks)
        except errors.RunOperateError:
            return False
        return found == self.bundle.flag.digest


def diagnose(findings: Findings) -> Diagnosis:
    """The likely cause of a FAIL, the surest first."""
    if scope := findings.of(DifferenceKind.FLAG_SCOPE):
        return _because(Cause.OTHER_FLAG, f"{scope[0]}")
    if missing := findings.of(DifferenceKind.MEMBER_MISSING):
        names = _names(item.path for item in missing)
        return _because(Cause.MEMBER_MISSING, f"listed by the index and not there: {names}")
    if edited := findings.of(DifferenceKind.MEMBER_DIGEST):
        return _edited_members(findings, edited)
    return (
        _added_members(findings)
        or _line_ends_of_the_unvouched(findings)
        or _other_rule(findings)
        or _unexplained(findings)
    )


def _edited_members(findings: Findings, edited: list[Difference]) -> Diagnosis:
    names = _names(item.path for item in edited)
    for end, words in _LINE_ENDS:
        if all(_matches_with(findings.bundle, item, end) for item in edited):
            return _because(
                Cause.LINE_ENDS,
                f"{words} in {names}: with their line ends restored they match the index. "
                "Git does this where `* -text` is not set",
            )
    hashed = set(findings.hashed)
    sealed = findings.computed == findings.bundle.flag.digest
    if sealed and all(findings.bundle.place(str(item.path)) in hashed for item in edited):
        return _because(
            Cause.BYTES_MOVED,
            f"the bytes of all files together are the sealed ones, but not those of {names} each",
        )
    return _because(Cause.MEMBER_EDITED, f"not the bytes that the index was written for: {names}")


def _matches_with(bundle: Bundle, item: Difference, end: bytes) -> bool:
    own = hashlib.sha256()
    for chunk in with_line_ends(bundle.chunks(bundle.place(str(item.path))), end):
        own.update(chunk)
    return own.hexdigest() == item.expected


def _added_members(findings: Findings) -> Diagnosis | None:
    """Files that the index does not list, without which the digest is right."""
    if findings.bundle.index is None:
        return None
    added = {FilePlace(name) for name in findings.bundle.unlisted}

    def chunks(place: FilePlace) -> Iterable[bytes]:
        return () if place in added else findings.bundle.chunks(place)

    if added and findings.gives_sealed_digest(chunks=chunks):
        names = _names(sorted(place.path for place in added))
        return _because(Cause.MEMBER_ADDED, f"without {names}, not listed, the digest is right")
    return None


def _line_ends_of_the_unvouched(findings: Findings) -> Diagnosis | None:
    """Line ends of files without a digest of their own: of all, or of those with one suffix."""
    files = findings.unvouched
    by_suffix: dict[str, list[FilePlace]] = {}
    for place in files:
        by_suffix.setdefault(PurePosixPath(place.path).suffix, []).append(place)
    groups = [frozenset(files), frozenset(files) - {FilePlace(INDEX)}]
    if len(by_suffix) <= _MAX_GROUPS:
        groups += map(frozenset, by_suffix.values())
    distinct = filter(None, dict.fromkeys(groups))
    for group, (end, words) in itertools.product(distinct, _LINE_ENDS):
        if findings.gives_sealed_digest(chunks=_restored(findings.bundle, group, end)):
            names = _names(sorted(place.path for place in group))
            return _because(
                Cause.LINE_ENDS,
                f"{words} in {names}: with their line ends restored the digest is right. "
                "Git does this where `* -text` is not set",
            )
    return None


def _other_rule(findings: Findings) -> Diagnosis | None:
    """Another law, or another of its options, under which the flag is right."""
    for law in LAWS.values():
        for chosen in _subsets(sorted(law.options)):
            options = LawOptions(**dict.fromkeys(chosen, True))
            if findings.gives_sealed_digest(law=law, options=options):
                named = " with ".join([law.name, *filter(None, [" and ".join(chosen)])])
                return _because(
                    Cause.OTHER_RULE,
                    f"the flag is right under {named}: see which law the bundle's gate declares",
                )
    return None


def _unexplained(findings: Findings) -> Diagnosis:
    others = [place.path for place in findings.unvouched if place != FilePlace(INDEX)]
    if others or findings.bundle.index is None:
        untried = "; the bundle is too large to try causes out" if findings.too_large else ""
        return _because(
            Cause.UNKNOWN,
            "edited after sealing, or the flag is another bundle's: no digest of their own tells "
            f"for {_names(others)}{untried}",
        )
    return _because(
        Cause.OTHER_FLAG,
        f"every member is what the index says: the flag is another bundle's, or {INDEX} was edited",
    )


def with_line_ends(chunks: Iterable[bytes], end: bytes) -> Iterator[bytes]:
    """Text with every LF or CRLF as ``end``; what git takes for binary stays as it is."""
    held, binary, first = b"", False, True
    for chunk in chunks:
        if first:
            first, binary = False, b"\0" in chunk[:_GIT_LOOKS_AT]
        if binary:
            yield chunk
            continue
        data = held + chunk
        held = b"\r" if data.endswith(b"\r") else b""
        whole = data.removesuffix(held) if held else data
        yield whole.replace(b"\r\n", b"\n").replace(b"\n", end)
    yield held


def _restored(bundle: Bundle, group: frozenset[FilePlace], end: bytes) -> Chunks:
    def chunks(place: FilePlace) -> Iterable[bytes]:
        found = bundle.chunks(place)
        return with_line_ends(found, end) if place in group else found

    return chunks


def _subsets(names: list[str]) -> Iterator[tuple[str, ...]]:
    for count in range(len(names) + 1):
        yield from itertools.combinations(names, count)


def _names(paths: Iterable[str | None]) -> str:
    found = [str(path) for path in paths]
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _because(cause: Cause, explanation: str) -> Diagnosis:
    return Diagnosis(cause=cause, explanation=explanation)


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
        self._digests: dict[FilePlace, str] = {}
        self.size_bytes = 0

    def chunks(self, place: FilePlace) -> Iterator[bytes]:
        own = hashlib.sha256()
        for chunk in self._bundle.chunks(place):
            own.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk
        self._digests[place] = own.hexdigest()

    def digest(self, place: FilePlace) -> str | None:
        """The file's SHA-256, from the reading that there was; None if it does not exist."""
        try:
            if place not in self._digests:
                for _ in self.chunks(place):
                    pass
            return self._digests[place]
        except errors.NotFoundError:
            return None


def _judge(bundle: Bundle, law: Law, rule: EngineRule) -> EngineGateVerdict:
    witness = _Witness(bundle)
    try:
        computed = law.digest(bundle, rule.options, witness.chunks)
    except errors.NotFoundError:
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
    return [member for member in bundle.members if bundle.place(member.path) != FilePlace(INDEX)]


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
