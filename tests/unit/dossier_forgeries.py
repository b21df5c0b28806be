"""Forged dossiers, each made from a good one: by somebody without the key, and by a malicious log.

Without the key one can change the file; with it (a log server that lies) everything that is signed
is signed again, so that only the contradictions inside give it away.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ro_platform.checkpoints.notes import Checkpoint
from ro_platform.dossier import container
from ro_platform.dossier.container import pre_authentication_encoding, sealed_envelope
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.digest import sha256_hex
from ro_platform.kernel.identity import run_id
from ro_platform.kernel.merkle import fold, inclusion_proof, leaf_hash, node_hash
from ro_platform.kernel.signing import SigningKey, parse_note, sign_note
from tests.unit.dossier_world import KEY, OTHER_KEY

Parts = dict[str, bytes]


def parts_of(data: bytes) -> Parts:
    """A dossier's members by name; artifacts, too."""
    source, parts = io.BytesIO(data), Parts()
    members = container.read(source)
    for name, place in members.places.items():
        parts[name] = data[place : place + members.sizes[name]]
    return parts


def tar(parts: Mapping[str, bytes]) -> bytes:
    """The file with these members."""
    target = io.BytesIO()
    container.write(target, [(name, len(data), data) for name, data in parts.items()])
    return target.getvalue()


def signed(parts: Parts, key: SigningKey = KEY, **changes: Any) -> Parts:
    """The members with a statement that fits them as far as a liar can make it: digests of all
    members, subjects and receipts as they were unless changed."""
    statement = statement_of(parts)
    predicate = statement["predicate"]
    rest = predicate["ro_dossier"]
    rest["members"] = {
        name: sha256_hex(data) for name, data in parts.items() if name != container.STATEMENT
    }
    checkpoint = Checkpoint.parse(parse_note(parts[container.CHECKPOINT]).text)
    rest["checkpoint"] = {"size": checkpoint.size, "root": checkpoint.root.hex()}
    fingerprint = sha256_hex(parts[container.MANIFEST])
    rest |= {"manifest_fingerprint": fingerprint, "run_id": run_id(fingerprint)}
    predicate["runDetails"]["metadata"]["invocationId"] = run_id(fingerprint)
    manifest = json.loads(parts[container.MANIFEST])
    predicate["buildDefinition"]["externalParameters"]["manifest"] = manifest
    refs = json.loads(parts[container.REFS])
    statement["subject"] = [
        {"name": ref["ref"], "digest": {"sha256": ref["digest"]}} for ref in refs
    ]
    rest |= changes
    envelope = sealed_envelope(canonical_bytes(statement), key)
    return parts | {container.STATEMENT: envelope}


def statement_of(parts: Parts) -> dict[str, Any]:
    """What the statement says."""
    envelope = json.loads(parts[container.STATEMENT])
    said: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return said


def entries_of(parts: Parts) -> list[dict[str, Any]]:
    """The entries as JSON objects."""
    return [json.loads(line) for line in parts[container.ENTRIES].splitlines()]


def logged(parts: Parts, entries: list[dict[str, Any]], *, key: SigningKey = KEY) -> Parts:
    """A whole new log, consistent in itself, that holds these entries: other leaves elsewhere, new
    proofs, a new checkpoint; and signed again."""
    lines = {entry["seq"]: canonical_bytes(entry) for entry in entries}
    size = max(lines) + 2
    leaves = [leaf_hash(lines.get(seq, b"something else %d" % seq)) for seq in range(size)]

    def read(level: int, offset: int) -> bytes:
        return fold(leaves[offset << level : (offset + 1) << level])

    proofs = {str(s): [step.hex() for step in inclusion_proof(s, size, read)] for s in lines}
    note = sign_note(Checkpoint(key.name, size, fold(leaves)).text(), key)
    body = b"".join(canonical_bytes(entry) + b"\n" for entry in entries)
    return signed(
        parts
        | {
            container.ENTRIES: body,
            container.PROOFS: canonical_bytes(proofs),
            container.CHECKPOINT: note,
        },
        key,
    )


def resealed(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with seals that fit what is there now."""
    begun: list[dict[str, Any]] = []
    run = next(e["body"]["run_id"] for e in entries if e["kind"] == "run_sealed")
    for entry in entries:
        if entry["correlation_ids"].get("run_id") != run:
            continue
        if entry["kind"] == "run_sealed":
            root = fold([leaf_hash(canonical_bytes(item)) for item in begun]).hex()
            entry["body"] |= {"count": len(begun), "first": begun[0]["seq"], "root": root}
            begun = []
        else:
            begun.append(entry)
    return entries


@dataclass(frozen=True)
class Forgery:
    """One forged dossier: what was done, by whom, and a word of the reason it is refused for."""

    name: str
    what: str
    reason: str
    make: Callable[[Parts, Parts], bytes]
    key_is_known: bool = field(default=False)


FORGERIES: list[Forgery] = []
"""All forgeries. ``make`` is given the members of the good dossier and those of another run's."""

Make = Callable[[Parts, Parts], bytes]


def forgery(what: str, reason: str, *, malicious_log: bool = False) -> Callable[[Make], Make]:
    """Add one to the list."""

    def add(make: Make) -> Make:
        name = make.__name__.strip("_").replace("_", "-")
        FORGERIES.append(Forgery(name, what, reason, make, malicious_log))
        return make

    return add


def _first(entries: list[dict[str, Any]], kind: str, at: int = 0) -> dict[str, Any]:
    return [entry for entry in entries if entry["kind"] == kind][at]


# --- the file ------------------------------------------------------------------------------------


@forgery("the file ends early", "cut off")
def _truncated(parts: Parts, _: Parts) -> bytes:
    return tar(parts)[:-1536]


@forgery("bytes follow the end", "two zero blocks")
def _trailing_bytes(parts: Parts, _: Parts) -> bytes:
    return tar(parts) + b"\0"


@forgery("a file of another kind", "cut off")
def _no_tar(_: Parts, __: Parts) -> bytes:
    return b'{"verified": true}\n'


@forgery("an empty file", "cut off")
def _empty(_: Parts, __: Parts) -> bytes:
    return b""


@forgery("only the end of a tar file", "has no checkpoint")
def _no_members(_: Parts, __: Parts) -> bytes:
    return tar({})


@forgery("a member of that name stands twice", "out of order|there twice|order of names")
def _duplicate_name(parts: Parts, _: Parts) -> bytes:
    manifest = parts[container.MANIFEST]
    twice = container.header(container.MANIFEST, len(manifest)) + manifest
    twice += bytes(-len(manifest) % 512)
    data = tar(parts)
    at = data.index(container.header(container.MANIFEST, len(manifest)))
    return data[:at] + twice + data[at:]


@forgery("members in another order", "order of names")
def _reordered_members(parts: Parts, _: Parts) -> bytes:
    first = tar({container.REFS: parts[container.REFS]})[:-1024]
    rest = {name: data for name, data in parts.items() if name != container.REFS}
    return first + tar(rest)


def _with_name(parts: Parts, name: bytes) -> bytes:
    """The file with its last header under another name, checksum and all."""
    data = bytearray(tar(parts))
    at = data.index(container.header(container.REFS, len(parts[container.REFS])))
    block = bytearray(data[at : at + 512])
    block[:100] = name.ljust(100, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    data[at : at + 512] = block
    return bytes(data)


@forgery("a member's path leads out of the folder", "not a member's name")
def _path_upwards(parts: Parts, _: Parts) -> bytes:
    return _with_name(parts, b"artifacts/../../etc/passwd")


@forgery("a member's path is absolute", "not a member's name")
def _path_absolute(parts: Parts, _: Parts) -> bytes:
    return _with_name(parts, b"/refs.json")


@forgery("a member's name hides what follows a NUL", "not a member's name|one form")
def _path_with_nul(parts: Parts, _: Parts) -> bytes:
    return _with_name(parts, b"refs.json\0.sh")


@forgery("a member's name is no ASCII", "name")
def _path_not_ascii(parts: Parts, _: Parts) -> bytes:
    return _with_name(parts, "réfs.json".encode())


def _with_header(parts: Parts, place: int, value: bytes) -> bytes:
    data = bytearray(tar(parts))
    at = data.index(container.header(container.REFS, len(parts[container.REFS])))
    block = bytearray(data[at : at + 512])
    block[place : place + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    data[at : at + 512] = block
    return bytes(data)


@forgery("a member is a symbolic link", "one form")
def _symbolic_link(parts: Parts, _: Parts) -> bytes:
    return _with_header(parts, 156, b"2/etc/passwd")


@forgery("a member can be executed by all", "one form")
def _mode(parts: Parts, _: Parts) -> bytes:
    return _with_header(parts, 100, b"0000777\0")


@forgery("a member has a time", "one form")
def _time(parts: Parts, _: Parts) -> bytes:
    return _with_header(parts, 136, b"00000000001\0")


@forgery("a member says that it has 8 GiB", "too large|cut off")
def _huge_size(parts: Parts, _: Parts) -> bytes:
    return _with_header(parts, 124, b"77777777777\0")


@forgery("a member's size is negative", "no size")
def _negative_size(parts: Parts, _: Parts) -> bytes:
    return _with_header(parts, 124, b"-0000000512\0")


@forgery("a member's size is in the base-256 extension", "no size")
def _base_256_size(parts: Parts, _: Parts) -> bytes:
    return _with_header(parts, 124, b"\x80" + bytes(10) + b"\1")


@forgery("there is something in the padding", "bytes behind")
def _padding(parts: Parts, _: Parts) -> bytes:
    data = bytearray(tar(parts))
    place = data.index(parts[container.REFS]) + len(parts[container.REFS])
    data[place] = 1
    return bytes(data)


@forgery("one more file", "not a member's name")
def _extra_file(parts: Parts, _: Parts) -> bytes:
    block = container.header("zzz.txt", 0)
    return tar(parts)[:-1024] + block + bytes(1024)


@forgery("one more receipt, signed for", "belongs to nothing", malicious_log=True)
def _extra_receipt(parts: Parts, _: Parts) -> bytes:
    return tar(signed(parts | {container.receipt_name(sha256_hex(b"{}")): b"{}"}))


@forgery("one more artifact, signed for", "belongs to nothing", malicious_log=True)
def _extra_artifact(parts: Parts, _: Parts) -> bytes:
    return tar(signed(parts | {container.artifact_name(sha256_hex(b"x")): b"x"}))


# --- what is signed ------------------------------------------------------------------------------


def _missing(name: str) -> Make:
    def make(parts: Parts, _: Parts) -> bytes:
        return tar({key: data for key, data in parts.items() if key != name})

    make.__name__ = f"without_{name.partition('.')[0]}"
    return make


for _name in container.DOCUMENTS:
    forgery(f"without {_name}", f"has no {_name}")(_missing(_name))


@forgery("another key signed all of it", "signed by|not genuine")
def _wrong_key(parts: Parts, _: Parts) -> bytes:
    return tar(logged(parts, entries_of(parts), key=OTHER_KEY))


@forgery("another key signed the checkpoint", "signed by none|not signed")
def _wrong_key_checkpoint(parts: Parts, _: Parts) -> bytes:
    text = parse_note(parts[container.CHECKPOINT]).text
    return tar(signed(parts | {container.CHECKPOINT: sign_note(text, OTHER_KEY)}))


@forgery("another key's signature under our key's id", "not genuine")
def _borrowed_key_id(parts: Parts, _: Parts) -> bytes:
    envelope = json.loads(parts[container.STATEMENT])
    theirs = json.loads(signed(parts, OTHER_KEY)[container.STATEMENT])
    envelope["signatures"][0]["sig"] = theirs["signatures"][0]["sig"]
    return tar(parts | {container.STATEMENT: canonical_bytes(envelope)})


@forgery("no signature at all", "one signature")
def _unsigned(parts: Parts, _: Parts) -> bytes:
    envelope = json.loads(parts[container.STATEMENT]) | {"signatures": []}
    return tar(parts | {container.STATEMENT: canonical_bytes(envelope)})


@forgery("a second signature, of somebody else", "one signature")
def _second_signature(parts: Parts, _: Parts) -> bytes:
    envelope = json.loads(parts[container.STATEMENT])
    envelope["signatures"].append({"keyid": "x", "sig": "AAAA"})
    return tar(parts | {container.STATEMENT: canonical_bytes(envelope)})


@forgery("the envelope is not canonical", "canonical")
def _loose_envelope(parts: Parts, _: Parts) -> bytes:
    return tar(parts | {container.STATEMENT: parts[container.STATEMENT].replace(b":", b": ", 1)})


@forgery("base64 in another form", "one form|no base64")
def _loose_base64(parts: Parts, _: Parts) -> bytes:
    data = parts[container.STATEMENT]
    end = data.index(b'=="}]}') - 1
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = letters[letters.index(data[end : end + 1]) ^ 1]
    return tar(parts | {container.STATEMENT: data[:end] + bytes([other]) + data[end + 1 :]})


@forgery("signed as something else than an in-toto statement", "payload type", malicious_log=True)
def _payload_type(parts: Parts, _: Parts) -> bytes:
    envelope = json.loads(parts[container.STATEMENT])
    payload, kind = base64.b64decode(envelope["payload"]), "text/plain"
    signature = KEY.sign(pre_authentication_encoding(kind, payload))
    envelope["payloadType"] = kind
    envelope["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return tar(parts | {container.STATEMENT: canonical_bytes(envelope)})


@forgery("the statement of another run", "is missing|not what was signed|does not belong")
def _other_statement(parts: Parts, other: Parts) -> bytes:
    return tar(parts | {container.STATEMENT: other[container.STATEMENT]})


def _edited_statement(edit: Callable[[dict[str, Any]], object], name: str, what: str) -> None:
    @forgery(what, "says something else|not that of a dossier|of the kind", malicious_log=True)
    def make(parts: Parts, _: Parts) -> bytes:
        said = statement_of(parts)
        edit(said)
        return tar(parts | {container.STATEMENT: sealed_envelope(canonical_bytes(said), KEY)})

    object.__setattr__(FORGERIES[-1], "name", name)


_edited_statement(lambda s: s["subject"].pop(), "subject-dropped", "a subject is left out")
_edited_statement(
    lambda s: s["subject"][0]["digest"].update(sha256="0" * 64),
    "subject-edited",
    "a subject has another digest",
)
_edited_statement(
    lambda s: s.update(predicateType="https://slsa.dev/provenance/v0.2"),
    "predicate-type",
    "another type of predicate",
)
_edited_statement(
    lambda s: s["predicate"]["runDetails"]["metadata"].update(
        startedOn="1999-01-01T00:00:00.000000Z"
    ),
    "statement-backdated",
    "the statement says that the run began earlier",
)
_edited_statement(
    lambda s: s["predicate"]["runDetails"]["byproducts"].clear(),
    "byproducts-dropped",
    "the statement names no receipts",
)
_edited_statement(
    lambda s: s["predicate"]["ro_dossier"].update(kind="ro.dossier.v9"), "kind", "another kind"
)
_edited_statement(
    lambda s: s["predicate"].pop("ro_dossier"), "no-extension", "a statement of another tool"
)
_edited_statement(
    lambda s: s.update(note="approved"), "statement-note", "the statement says something more"
)


@forgery("a checkpoint that was signed before the seal", "not in the log", malicious_log=True)
def _stale_checkpoint(parts: Parts, _: Parts) -> bytes:
    entries = entries_of(parts)
    size = entries[-1]["seq"] - 1
    lines = {entry["seq"]: canonical_bytes(entry) for entry in entries}
    leaves = [leaf_hash(lines.get(seq, b"%d" % seq)) for seq in range(size)]
    note = sign_note(Checkpoint(KEY.name, size, fold(leaves)).text(), KEY)
    return tar(signed(parts | {container.CHECKPOINT: note}))


@forgery("a checkpoint with another root", "not in the log", malicious_log=True)
def _other_root(parts: Parts, _: Parts) -> bytes:
    said = Checkpoint.parse(parse_note(parts[container.CHECKPOINT]).text)
    note = sign_note(Checkpoint(said.origin, said.size, b"\1" * 32).text(), KEY)
    return tar(signed(parts | {container.CHECKPOINT: note}))


@forgery(
    "a checkpoint of another log under the same key", "the log is|another log", malicious_log=True
)
def _other_origin(parts: Parts, _: Parts) -> bytes:
    said = Checkpoint.parse(parse_note(parts[container.CHECKPOINT]).text)
    note = sign_note(Checkpoint("ro-platform/staging", said.size, said.root).text(), KEY)
    return tar(signed(parts | {container.CHECKPOINT: note}))


@forgery("a checkpoint signed twice by the key", "two signatures", malicious_log=True)
def _checkpoint_twice(parts: Parts, _: Parts) -> bytes:
    note = parts[container.CHECKPOINT]
    line = note[note.rindex("—".encode()) :]
    return tar(signed(parts | {container.CHECKPOINT: note + line}))


@forgery("a checkpoint of size with a leading zero", "not a size", malicious_log=True)
def _checkpoint_size(parts: Parts, _: Parts) -> bytes:
    origin, size, rest = parse_note(parts[container.CHECKPOINT]).text.split("\n", 2)
    note = sign_note(f"{origin}\n0{size}\n{rest}", KEY)
    forged = dict(parts) | {container.CHECKPOINT: note}
    said = statement_of(parts)
    said["predicate"]["ro_dossier"]["members"][container.CHECKPOINT] = sha256_hex(note)
    return tar(forged | {container.STATEMENT: sealed_envelope(canonical_bytes(said), KEY)})


# --- the log -------------------------------------------------------------------------------------


def _entries_edited(
    name: str,
    what: str,
    reason: str,
    edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]] | None],
    *,
    reseal: bool = False,
) -> None:
    """Entries are changed, and the malicious log builds a tree in which they are."""

    @forgery(what, reason, malicious_log=True)
    def make(parts: Parts, _: Parts) -> bytes:
        entries = entries_of(parts)
        changed = edit(entries)
        entries = entries if changed is None else changed
        return tar(logged(parts, resealed(entries) if reseal else entries))

    object.__setattr__(FORGERIES[-1], "name", name)


@forgery("an entry's bytes are changed, nothing is signed again", "not what was signed")
def _edited_entry(parts: Parts, _: Parts) -> bytes:
    data = parts[container.ENTRIES].replace(b"SUCCEEDED", b"CANCELED", 1)
    return tar(parts | {container.ENTRIES: data})


@forgery("an entry is changed, the statement is signed again", "not in the log", malicious_log=True)
def _edited_entry_signed(parts: Parts, _: Parts) -> bytes:
    data = parts[container.ENTRIES].replace(b"HUMAN::boss", b"HUMAN::nobody", 1)
    return tar(signed(parts | {container.ENTRIES: data}))


@forgery("an entry is left out with its proof", "not complete", malicious_log=True)
def _dropped_entry(parts: Parts, _: Parts) -> bytes:
    return tar(_without(parts, _first(entries_of(parts), "attempt_transition", 3)["seq"]))


@forgery("a receipt's entry is left out", "not complete", malicious_log=True)
def _dropped_receipt(parts: Parts, _: Parts) -> bytes:
    return tar(_without(parts, _first(entries_of(parts), "gate_receipt")["seq"]))


@forgery("the seal is left out", "not sealed|no seal", malicious_log=True)
def _dropped_seal(parts: Parts, _: Parts) -> bytes:
    return tar(_without(parts, _first(entries_of(parts), "run_sealed", -1)["seq"]))


@forgery("the publication of a config is left out", "publication", malicious_log=True)
def _dropped_publication(parts: Parts, _: Parts) -> bytes:
    return tar(_without(parts, _first(entries_of(parts), "config_published")["seq"]))


@forgery("an event that touched the run is left out", "touched", malicious_log=True)
def _dropped_touch(parts: Parts, _: Parts) -> bytes:
    return tar(_without(parts, _touching(entries_of(parts))["seq"]))


def _touching(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return next(e for e in entries if any(m.startswith("touched/") for m in e.get("mentions", ())))


def _without(parts: Parts, seq: int) -> Parts:
    """A liar's dossier without an entry: the true log, its true proofs, signed again."""
    proofs = json.loads(parts[container.PROOFS])
    del proofs[str(seq)]
    lines = [
        line for line in parts[container.ENTRIES].splitlines() if json.loads(line)["seq"] != seq
    ]
    return signed(
        parts
        | {
            container.ENTRIES: b"".join(line + b"\n" for line in lines),
            container.PROOFS: canonical_bytes(proofs),
        }
    )


@forgery("an entry stands twice", "there twice|order", malicious_log=True)
def _doubled_entry(parts: Parts, _: Parts) -> bytes:
    lines = parts[container.ENTRIES].splitlines()
    data = b"".join(line + b"\n" for line in [lines[0], *lines])
    return tar(signed(parts | {container.ENTRIES: data}))


@forgery("entries in another order", "out of order", malicious_log=True)
def _reordered_entries(parts: Parts, _: Parts) -> bytes:
    lines = parts[container.ENTRIES].splitlines()
    data = b"".join(line + b"\n" for line in [lines[1], lines[0], *lines[2:]])
    return tar(signed(parts | {container.ENTRIES: data}))


@forgery("the last line does not end", "line feed", malicious_log=True)
def _open_line(parts: Parts, _: Parts) -> bytes:
    return tar(signed(parts | {container.ENTRIES: parts[container.ENTRIES][:-1]}))


@forgery("an entry is not in canonical form", "canonical|not in the log", malicious_log=True)
def _loose_entry(parts: Parts, _: Parts) -> bytes:
    data = parts[container.ENTRIES].replace(b'":', b'": ', 1)
    return tar(signed(parts | {container.ENTRIES: data}))


@forgery("an interior node passes for an entry", "line 1 of|not in the log", malicious_log=True)
def _node_as_leaf(parts: Parts, _: Parts) -> bytes:
    node = node_hash(b"\0" * 32, b"\1" * 32)
    data = node.hex().encode() + b"\n" + parts[container.ENTRIES]
    return tar(signed(parts | {container.ENTRIES: data}))


def _proofs_edited(name: str, what: str, reason: str, edit: Callable[[Any], Any]) -> None:
    @forgery(what, reason, malicious_log=True)
    def make(parts: Parts, _: Parts) -> bytes:
        proofs = json.loads(parts[container.PROOFS])
        data = canonical_bytes(edit(proofs) or proofs)
        return tar(signed(parts | {container.PROOFS: data}))

    object.__setattr__(FORGERIES[-1], "name", name)


def _fail_made_pass(entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        if entry["body"].get("status") == "FAIL":
            entry["body"]["status"] = "PASS"


def _some(proofs: dict[str, list[str]]) -> str:
    return sorted(proofs)[0]


_proofs_edited(
    "proof-missing", "a proof is missing", "has no proof", lambda p: p.pop(_some(p)) and p
)
_proofs_edited(
    "proof-of-nothing", "a proof of what is not there", "not there", lambda p: {**p, "99999": []}
)
_proofs_edited(
    "proof-short", "a proof is cut off", "not in the log", lambda p: p[_some(p)].pop() and p
)
_proofs_edited(
    "proof-long",
    "a proof goes on",
    "not in the log",
    lambda p: {**p, _some(p): [*p[_some(p)], "0" * 64]},
)
_proofs_edited(
    "proof-swapped",
    "two proofs are swapped",
    "not in the log",
    lambda p: {**p, sorted(p)[0]: p[sorted(p)[1]], sorted(p)[1]: p[sorted(p)[0]]},
)
_proofs_edited(
    "proof-no-hash",
    "a proof holds what is no hash",
    "paths of hashes",
    lambda p: {**p, _some(p): ["x"]},
)
_proofs_edited("proofs-a-list", "proofs are a list", "paths of hashes|no proof", lambda _: [1])

_entries_edited(
    "other-tree",
    "a consistent tree over changed entries: the recorded reason is another",
    "another root",
    lambda e: _first(e, "attempt_transition")["body"].update(step_key="other"),
)
_entries_edited(
    "attempt-dropped-resealed",
    "a failed attempt is left out, count and root are those of what is left",
    "is missing|another attempt",
    lambda e: [
        x for x in e if not (x["body"].get("unit") == "report" and x["body"].get("number") == 1)
    ],
    reseal=True,
)
_entries_edited(
    "touch-edited",
    "an event that touched the run names another actor, and the records are sealed again",
    "touched",
    lambda e: _touching(e)["body"].update(actor="HUMAN::nobody"),
    reseal=True,
)
_entries_edited(
    "attempt-never-ended",
    "the last state of an attempt is left out and all is sealed again",
    "did not end",
    lambda e: [x for x in e if x is not _first(e, "attempt_transition", -1)],
    reseal=True,
)
_entries_edited(
    "attempt-succeeds-after-failure",
    "a failure becomes a success after the fact",
    "does not go|no such move",
    lambda e: _first(e, "attempt_transition", -1)["body"].update(status="QUEUED"),
    reseal=True,
)
_entries_edited(
    "attempt-of-another-job",
    "an attempt names another unit of work",
    "names an attempt|names another",
    lambda e: _first(e, "attempt_transition")["body"].update(unit="other"),
    reseal=True,
)
_entries_edited(
    "foreign-attempt",
    "an attempt of another manifest is counted in",
    "names an attempt|names another",
    lambda e: _first(e, "attempt_transition")["body"].update(manifest_fingerprint="f" * 64),
    reseal=True,
)
_entries_edited(
    "bound-by-nobody",
    "an artifact is bound by an attempt that never ran",
    "no running attempt|nothing was running",
    lambda e: _first(e, "artifact_bound")["body"].update(attempt_id="0" * 32),
    reseal=True,
)
_entries_edited(
    "bound-elsewhere",
    "a binding's asset is another than its place",
    "somewhere else|its place",
    lambda e: _first(e, "artifact_bound")["body"].update(asset="other"),
    reseal=True,
)
_entries_edited(
    "digest-edited",
    "a bound artifact gets another digest, in the log, too",
    "refs.json",
    lambda e: _first(e, "artifact_bound")["body"]["artifact"].update(digest="e" * 64),
    reseal=True,
)
_entries_edited(
    "fail-made-pass",
    "the log says PASS where the receipt says FAIL",
    "another verdict",
    _fail_made_pass,
    reseal=True,
)
_entries_edited(
    "registered-as-another",
    "the registration names another workload",
    "registers another|not registered",
    lambda e: _first(e, "run_registered")["body"].update(workload="other"),
    reseal=True,
)
_entries_edited(
    "never-registered",
    "the registration is left out and all is sealed again",
    "registered",
    lambda e: [x for x in e if x["kind"] != "run_registered"],
    reseal=True,
)
_entries_edited(
    "seal-count",
    "a seal counts one entry more",
    "not complete|count",
    lambda e: _first(e, "run_sealed")["body"].update(
        count=_first(e, "run_sealed")["body"]["count"] + 1
    ),
)
_entries_edited(
    "seal-root",
    "a seal has another root",
    "another root|root",
    lambda e: _first(e, "run_sealed")["body"].update(root="a" * 64),
)
_entries_edited(
    "seal-of-another-run",
    "a seal names another run",
    "names a run|count",
    lambda e: _first(e, "run_sealed")["body"].update(run_id="b" * 32),
)
_entries_edited(
    "seal-second-record",
    "the first seal says that it is the second",
    "of record|count",
    lambda e: _first(e, "run_sealed")["body"].update(record=2),
)
_entries_edited(
    "seal-linked-to-nothing",
    "a first seal says that another was before it",
    "follows the seal|link",
    lambda e: _first(e, "run_sealed")["body"].update(previous=0),
)
_entries_edited(
    "replayed-seal",
    "the seal is played again at the end, as if nothing had happened since",
    "on nothing|outside|follows|count|no record",
    lambda e: [*e, {**_first(e, "run_sealed"), "seq": e[-1]["seq"] + 1}],
)
_entries_edited(
    "appended-after-the-seal",
    "an entry of the run follows its seal without reopening it",
    "reopens nothing|in no record",
    lambda e: [*e, {**_first(e, "gate_receipt"), "seq": e[-1]["seq"] + 1}],
)
_entries_edited(
    "reopened-to-another-seal",
    "a reopening links to what is no seal",
    "does not link",
    lambda e: _first(e, "run_reopened")["body"].update(sealed=0),
    reseal=True,
)
_entries_edited(
    "reopening-dropped",
    "the reopening is left out, the second record begins with an attempt",
    "reopens nothing|in no record",
    lambda e: [x for x in e if x is not _first(e, "run_reopened")],
    reseal=True,
)
_entries_edited(
    "first-record-dropped",
    "the whole first record is left out",
    "reopens a run|in no record",
    lambda e: [
        x
        for x in e
        if x["seq"] > _first(e, "run_sealed")["seq"] or "run_id" not in x["correlation_ids"]
    ],
)
_entries_edited(
    "second-record-dropped-but-its-seal",
    "what happened after the first seal is left out, its seal is not",
    "on nothing|count",
    lambda e: [
        x
        for x in e
        if x["seq"] <= _first(e, "run_sealed")["seq"]
        or x["kind"] == "run_sealed"
        or "run_id" not in x["correlation_ids"]
    ],
)
_entries_edited(
    "foreign-run",
    "an entry of another run is put in",
    "another run",
    lambda e: [
        *e,
        {
            **_first(e, "gate_receipt"),
            "seq": e[-1]["seq"] + 1,
            "correlation_ids": {"run_id": "c" * 32},
        },
    ],
)
_entries_edited(
    "unrelated-event",
    "an administrative event that has nothing to do with the run is put in",
    "nothing to do",
    lambda e: [
        *e,
        {
            **_first(e, "admin_event"),
            "seq": e[-1]["seq"] + 1,
            "body": {**_first(e, "admin_event")["body"], "admin_event_id": "d" * 32},
            "mentions": [],
        },
    ],
)
_entries_edited(
    "unrelated-gate-set",
    "the gates of an asset that the run did not make are put in",
    "nothing to do",
    lambda e: [
        *e,
        {
            **_first(e, "gate_set_declared"),
            "seq": e[-1]["seq"] + 1,
            "body": {"asset": "unrelated", "gates": []},
        },
    ],
)
_entries_edited(
    "other-config",
    "a config is published with another digest than the manifest pins",
    "nothing to do",
    lambda e: _first(e, "config_published")["body"]["version"].update(digest="9" * 64),
)


@forgery("the entries of another run under this manifest", "another run", malicious_log=True)
def _other_entries(parts: Parts, other: Parts) -> bytes:
    swapped = {
        name: other[name] for name in (container.ENTRIES, container.PROOFS, container.CHECKPOINT)
    }
    return tar(signed(parts | swapped))


# --- manifest, configs, receipts, bytes ----------------------------------------------------------


@forgery("the manifest is edited", "not what was signed")
def _edited_manifest(parts: Parts, _: Parts) -> bytes:
    data = parts[container.MANIFEST].replace(b'"demo"', b'"demi"')
    return tar(parts | {container.MANIFEST: data})


@forgery("the manifest is edited and signed again", "another run", malicious_log=True)
def _edited_manifest_signed(parts: Parts, _: Parts) -> bytes:
    data = parts[container.MANIFEST].replace(b'"demo"', b'"demi"')
    return tar(signed(parts | {container.MANIFEST: data}))


@forgery("the manifest is not in canonical form", "canonical", malicious_log=True)
def _loose_manifest(parts: Parts, _: Parts) -> bytes:
    return tar(signed(parts | {container.MANIFEST: parts[container.MANIFEST] + b"\n"}))


@forgery("a config has other content", "other bytes|its bytes", malicious_log=True)
def _edited_config(parts: Parts, _: Parts) -> bytes:
    name = next(name for name in parts if name.startswith("configs/"))
    return tar(signed(parts | {name: b'{"max":2}'}))


@forgery("a config is missing", "is missing|not what belongs", malicious_log=True)
def _missing_config(parts: Parts, _: Parts) -> bytes:
    name = next(name for name in parts if name.startswith("configs/"))
    return tar(signed({key: data for key, data in parts.items() if key != name}))


@forgery("a receipt says PASS where it said FAIL", "other bytes|its bytes", malicious_log=True)
def _edited_receipt(parts: Parts, _: Parts) -> bytes:
    name = next(
        name for name, data in parts.items() if b'"status":"FAIL"' in data and "rec" in name
    )
    return tar(signed(parts | {name: parts[name].replace(b'"FAIL"', b'"PASS"')}))


@forgery("a receipt is missing", "is missing|KeyError", malicious_log=True)
def _missing_receipt(parts: Parts, _: Parts) -> bytes:
    name = next(name for name in parts if name.startswith("receipts/"))
    return tar(signed({key: data for key, data in parts.items() if key != name}))


@forgery("refs.json leaves a reference out", "refs.json", malicious_log=True)
def _dropped_ref(parts: Parts, _: Parts) -> bytes:
    refs = json.loads(parts[container.REFS])[1:]
    return tar(signed(parts | {container.REFS: canonical_bytes(refs)}))


@forgery("an artifact's bytes are changed", "not what was signed")
def _edited_artifact(parts: Parts, _: Parts) -> bytes:
    name = next(name for name in parts if name.startswith("artifacts/"))
    return tar(parts | {name: parts[name] + b"!"})


@forgery("two artifacts are swapped", "other bytes|its bytes", malicious_log=True)
def _swapped_artifacts(parts: Parts, _: Parts) -> bytes:
    one, other, *_rest = [name for name in parts if name.startswith("artifacts/")]
    return tar(signed(parts | {one: parts[other], other: parts[one]}))


@forgery("an artifact is missing", "is missing|not what belongs", malicious_log=True)
def _missing_artifact(parts: Parts, _: Parts) -> bytes:
    name = next(name for name in parts if name.startswith("artifacts/"))
    return tar(signed({key: data for key, data in parts.items() if key != name}))


@forgery("something is withheld that the run never made", "withheld", malicious_log=True)
def _withheld_nothing(parts: Parts, _: Parts) -> bytes:
    return tar(signed(parts, withheld={"7" * 64: "RO_GATE_FAILED"}))


@forgery(
    "it says that no artifacts are in it", "belongs to nothing|not what belongs", malicious_log=True
)
def _artifacts_denied(parts: Parts, _: Parts) -> bytes:
    return tar(signed(parts, with_artifacts=False))
