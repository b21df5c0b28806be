"""The signed statement of a dossier: what it vouches for, and reading it back.

The statement's signature covers the digest of every member, the checkpoint's the root under which
every entry has to be.

The in-toto Statement of a dossier: SLSA provenance v1, with an extension field of our own.

It is a function of everything else in the dossier, so a verifier computes it again and compares.
https://in-toto.io/Statement/v1, https://slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from ro_platform.checkpoints.notes import Checkpoint
from ro_platform.contracts import ArtifactTree, BoundRef, LedgerEntry, RunManifest
from ro_platform.dossier import container
from ro_platform.dossier.container import dossier_refused, open_envelope, refusing, require
from ro_platform.dossier.records import Line
from ro_platform.kernel.canonical import canonical_bytes, parse_canonical
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.merkle import verify_inclusion
from ro_platform.kernel.signing import VerifierKey, open_signed
from ro_platform.ledger import names

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:ro-platform:run:v0"
DOSSIER_KIND = "ro.dossier.v0"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement says. ``receipts`` are (locator, digest); ``members`` the SHA-256 of every
    other member of the file; ``withheld`` why the bytes of an artifact, by digest, are not in it.
    """

    manifest: RunManifest
    fingerprint: str
    run_id: str
    refs: Sequence[BoundRef]
    receipts: Sequence[tuple[str, str]]
    started: str
    finished: str
    checkpoint: Checkpoint
    with_artifacts: bool
    withheld: Mapping[str, str]
    members: Mapping[str, str]


def statement(facts: Facts) -> dict[str, Any]:
    """The statement as a JSON object. Its subjects are the bound artifacts; of a run that bound
    none, the manifest."""
    subjects = [_resource(ref.ref, ref.digest) for ref in facts.refs]
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects or [_resource("manifest.json", facts.fingerprint)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"manifest": facts.manifest.to_json_value()},
                "resolvedDependencies": _dependencies(facts.manifest),
            },
            "runDetails": {
                "builder": {"id": f"urn:ro-platform:log:{facts.checkpoint.origin}"},
                "metadata": {
                    "invocationId": facts.run_id,
                    "startedOn": facts.started,
                    "finishedOn": facts.finished,
                },
                "byproducts": [_resource(*receipt) for receipt in facts.receipts],
            },
            "ro_dossier": _extension(facts),
        },
    }


def _dependencies(manifest: RunManifest) -> list[dict[str, Any]]:
    inputs = [_resource(f"input/{item.name}", str(item.ref.digest)) for item in manifest.inputs]
    configs = [
        _resource(names.config_version_name(pin.config_name, pin.config_version), pin.digest)
        for pin in manifest.config_versions
    ]
    return inputs + configs


def _extension(facts: Facts) -> dict[str, Any]:
    return {
        "kind": DOSSIER_KIND,
        "manifest_fingerprint": facts.fingerprint,
        "run_id": facts.run_id,
        "checkpoint": {"size": facts.checkpoint.size, "root": facts.checkpoint.root.hex()},
        "with_artifacts": facts.with_artifacts,
        "withheld": dict(facts.withheld),
        "members": dict(facts.members),
    }


def _resource(name: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": digest}}


_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)


class SignedMembers:
    """The members of an open file, read once. Every method raises :class:`DossierRefusedError`."""

    def __init__(
        self, source: BinaryIO, key: VerifierKey, witnesses: Sequence[VerifierKey]
    ) -> None:
        self._members = container.read(source)
        self._source = source
        self._key = key
        self._witnesses = witnesses
        self.payload = open_envelope(self._members.document(container.STATEMENT), key)

    @property
    def size_bytes(self) -> int:
        """The size of all members together."""
        return sum(self._members.sizes.values())

    def document(self, name: str) -> bytes:
        """A document's bytes."""
        return self._members.document(name)

    def others(self) -> dict[str, str]:
        """The digests of all members but the statement, which names them."""
        found = self._members.digests
        return {name: found[name] for name in found if name != container.STATEMENT}

    def extension(self) -> tuple[bool, dict[str, str]]:
        """Our field of the statement, against the members: whether artifacts are in the file, and
        what is withheld, by digest."""
        with refusing("the statement"):
            said: Any = parse_canonical(self.payload)
        match said:
            case {
                "predicate": {
                    "ro_dossier": {
                        "kind": str(kind),
                        "members": dict(digests),
                        "with_artifacts": bool(with_artifacts),
                        "withheld": dict(withheld),
                    }
                }
            }:
                require(kind == DOSSIER_KIND, f"it is of the kind {kind!r}")
            case _:
                raise dossier_refused("the statement is not that of a dossier")
        found = self.others()
        for name in sorted(found.keys() | digests.keys()):
            require(name in found, f"{name} is missing")
            require(name in digests, f"{name} does not belong to it")
            require(found[name] == digests[name], f"{name} is not what was signed")
        return with_artifacts, withheld

    def checkpoint(self) -> Checkpoint:
        """The checkpoint, if the key and each of the witnesses signed it."""
        note = self._members.document(container.CHECKPOINT)
        with refusing("the checkpoint"):
            text, signers = open_signed(note, [self._key, *self._witnesses])
            checkpoint = Checkpoint.parse(text)
        require(self._key in signers, f"the checkpoint is not signed by {self._key.name}")
        for witness in self._witnesses:
            require(witness in signers, f"the witness {witness.name} did not sign the checkpoint")
        require(checkpoint.origin == self._key.name, f"the log is {checkpoint.origin!r}")
        return checkpoint

    def manifest(self) -> tuple[RunManifest, str]:
        """The manifest and its fingerprint; the configs that it pins are there, and no others."""
        data = self._members.document(container.MANIFEST)
        with refusing("manifest.json"):
            parse_canonical(data)
            manifest = RunManifest.from_json(data, where="manifest")
            require(canonical_bytes(manifest) == data, "manifest.json is not in its one form")
        expected = {container.config_name(pin.digest) for pin in manifest.config_versions}
        self.require_exactly("configs", expected)
        for name in sorted(expected):
            self.require_digest(name)
            with refusing(name):
                parse_canonical(self._members.document(name))
        return manifest, sha256_hex(data)

    def lines(self, checkpoint: Checkpoint) -> list[Line]:
        """All entries, each proved to be in the log under the checkpoint's root."""
        data = self._members.document(container.ENTRIES)
        require(data.endswith(b"\n"), "entries.jsonl does not end with a line feed")
        paths = self._paths()
        lines: list[Line] = []
        for number, text in enumerate(data[:-1].split(b"\n"), 1):
            with refusing(f"line {number} of entries.jsonl"):
                entry = LedgerEntry.from_json(text, where="entry")
                require(canonical_bytes(entry) == text, f"line {number} is not in canonical form")
            line = Line(entry, text)
            after = not lines or line.seq > lines[-1].seq
            require(after, f"entry {line.seq} is out of order, or there twice")
            path = paths.get(str(line.seq))
            require(path is not None, f"entry {line.seq} has no proof")
            proved = path is not None and verify_inclusion(
                line.leaf, line.seq, checkpoint.size, path, checkpoint.root
            )
            require(proved, f"entry {line.seq} is not in the log of the checkpoint")
            lines.append(line)
        require(len(paths) == len(lines), "there are proofs of entries that are not there")
        return lines

    def _paths(self) -> dict[str, list[bytes]]:
        with refusing("proofs.json"):
            said = parse_canonical(self._members.document(container.PROOFS))
        try:
            return {seq: [_hash(step) for step in path] for seq, path in dict(said).items()}
        except (TypeError, ValueError):
            raise dossier_refused("proofs.json does not map entries to paths of hashes") from None

    def tree(self, digest: str) -> dict[str, int | None]:
        """The members of a tree artifact: sizes by digest."""
        name = container.artifact_name(digest)
        self.require_digest(name)
        data = self._members.again(self._source, name)
        with refusing(name):
            tree = ArtifactTree.from_json(data, where="tree")
        return {member.digest: member.size_bytes for member in tree.members}

    def require_exactly(self, folder: str, expected: set[str]) -> None:
        """That a folder holds exactly the members of these names."""
        found = self._members.below(folder)
        for name in sorted(found ^ expected):
            require(name in found, f"{name} is missing")
            raise dossier_refused(f"{name} belongs to nothing in it")

    def require_digest(self, name: str, size: int | None = None) -> None:
        """That a member has the SHA-256 in its name, and that size."""
        require(name in self._members.digests, f"{name} is missing")
        digest = name.partition("/")[2].removesuffix(".json")
        require(self._members.digests[name] == digest, f"{name} has other bytes than its name says")
        right = size is None or self._members.sizes[name] == size
        require(right, f"{name} has {self._members.sizes[name]} bytes, not {size}")


def _hash(text: object) -> bytes:
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise ValueError(text)
    return bytes.fromhex(text)
