"""A verified dossier in words: the tables that the terminal and the page both show."""

from __future__ import annotations

from dataclasses import dataclass

from ro_platform.contracts import EntryKind
from ro_platform.dossier.verify import Dossier
from ro_platform.ledger.words import entry_words

Rows = list[list[str]]

_REVOKED = ("asset", "gate_id", "subject_digest", "rule_digest")


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, the columns' names, the rows, and what stands there if there are none."""

    title: str
    columns: tuple[str, ...]
    rows: Rows
    empty: str


def identity_rows(dossier: Dossier) -> Rows:
    """What run it is, and what vouches for the dossier."""
    manifest, checkpoint = dossier.manifest, dossier.checkpoint
    code = manifest.code.version or manifest.code.git_commit or ""
    rows = [
        ["workload", manifest.workload],
        ["manifest", dossier.fingerprint],
        ["run", dossier.run_id],
        ["code", code],
        ["log", checkpoint.origin],
        ["checkpoint", f"{checkpoint.size} entries, root {checkpoint.root.hex()}"],
        ["witnesses", ", ".join(dossier.witnesses) or "none was asked for"],
    ]
    if checkpoint.moment:
        rows.insert(6, ["signed (UTC)", checkpoint.moment])
    if manifest.scenario_id:
        rows.insert(1, ["scenario", manifest.scenario_id])
    return rows


def verified_facts(dossier: Dossier) -> list[str]:
    """What the verification established, a sentence each."""
    seals, attempts = _count(len(dossier.records), "seal"), _count(len(dossier.attempts), "attempt")
    judged, bound = _count(len(dossier.verdicts), "receipt"), _count(len(dossier.refs), "reference")
    facts = [
        "The log's key signed the checkpoint and the statement about this run.",
        f"All {dossier.entries} entries are in the log that the checkpoint signs for.",
        f"The record is complete: {seals}, by count and root, each linked to the one before.",
        f"{attempts}: all ended, and no number is missing.",
        f"{judged} of gates and {bound} to artifacts are those on record.",
        "The manifest has this fingerprint; the configs have the digests that it pins.",
    ]
    if not dossier.with_artifacts:
        facts.append("The artifacts' bytes are not in the dossier; their digests are.")
    elif dossier.withheld:
        facts.append(f"The bytes of {_count(len(dossier.withheld), 'object')} are withheld.")
    else:
        facts.append("The bytes of every artifact are in the dossier, and have their digests.")
    return facts


def objections(dossier: Dossier) -> list[str]:
    """What does not stand, a sentence each: a dossier that verifies can tell of a bad run."""
    bad = {asset: state for asset, state in gate_states(dossier).items() if state != "PASS"}
    return [f"{asset} does not stand: {state}." for asset, state in sorted(bad.items())]


def gate_states(dossier: Dossier) -> dict[str, str]:
    """By asset: ``PASS``, or the gate that does not stand and why, by what is in the dossier."""
    latest = {(item.recorded.asset, item.recorded.gate_id): item for item in dossier.verdicts}
    revoked = {
        tuple(line.entry.body[name] for name in _REVOKED)
        for line in dossier.context
        if line.entry.kind is EntryKind.PASS_REVOKED
    }
    own = [line.entry for record in dossier.records for line in record.lines]
    made = {str(e.body["asset"]): e.seq for e in own if e.kind is EntryKind.ARTIFACT_BOUND}
    blocked = {
        str(line.entry.body["asset"])
        for line in dossier.context
        if line.entry.kind is EntryKind.ARTIFACT_BLOCKED
        and line.seq > made.get(str(line.entry.body["asset"]), -1)
    }
    states: dict[str, str] = {}
    for (asset, gate), item in latest.items():
        word = item.recorded.status.value
        said = item.recorded
        if (asset, gate, said.subject_digest, said.rule_digest) in revoked:
            word = "REVOKED"
        if states.get(asset, "PASS") == "PASS":
            states[asset] = word if word == "PASS" else f"{word} {gate}"
    for asset in blocked:
        states[asset] = "BLOCKED"
    return states


def tables(dossier: Dossier) -> list[Table]:
    """Artifacts, gates, attempts, what touched the run, and the records."""
    return [
        _artifacts(dossier),
        _gates(dossier),
        _attempts(dossier),
        _events(dossier),
        _seals(dossier),
    ]


def _artifacts(dossier: Dossier) -> Table:
    assets = {made.artifact.ref: made.asset for made in dossier.bound}
    rows = [
        [
            assets[ref.ref],
            ref.digest,
            str(ref.size_bytes),
            ref.media_type,
            dossier.withheld.get(ref.digest, "in the dossier" if dossier.with_artifacts else "no"),
        ]
        for ref in dossier.refs
    ]
    columns = ("asset", "sha256", "bytes", "media type", "its bytes")
    return Table("Artifacts", columns, rows, "The run bound no artifact.")


def _gates(dossier: Dossier) -> Table:
    rows = [
        [
            item.recorded.gate_id,
            item.recorded.asset,
            f"{item.recorded.status.value}{' (warned)' if item.recorded.warned else ''}",
            item.recorded.subject_digest[:12],
            item.receipt.evidence.digest[:12]
            if item.receipt.evidence and item.receipt.evidence.digest
            else "-",
            _moment(item.receipt.produced_at_utc),
        ]
        for item in dossier.verdicts
    ]
    columns = ("gate", "asset", "verdict", "on sha256", "evidence", "at (UTC)")
    return Table("Gates", columns, rows, "No gate judged anything in this run.")


def _attempts(dossier: Dossier) -> Table:
    rows = [
        [
            item.unit,
            f"#{item.number}",
            item.status.value,
            _moment(item.created_at_utc),
            _moment(item.updated_at_utc),
            " ".join(filter(None, (item.error_code, item.error))) or "-",
        ]
        for item in dossier.attempts
    ]
    columns = ("unit", "attempt", "status", "began (UTC)", "ended (UTC)", "why")
    return Table("Attempts", columns, rows, "Nothing was attempted.")


def _events(dossier: Dossier) -> Table:
    own = [line for record in dossier.records for line in record.lines]
    lines = sorted((*own, *dossier.context), key=lambda line: line.seq)
    rows = [
        [
            str(line.seq),
            _moment(line.entry.recorded_at_utc),
            line.entry.actor,
            entry_words(line.entry, within_run=True),
        ]
        for line in lines
        if line.entry.kind not in _ELSEWHERE
    ]
    columns = ("entry", "recorded (UTC)", "by", "what")
    return Table("What touched the run", columns, rows, "Nothing.")


def _seals(dossier: Dossier) -> Table:
    rows = [
        [
            str(item.seal.record),
            f"{item.lines[0].seq} to {item.lines[-1].seq}",
            str(item.seal.count),
            item.seal.root,
            str(item.seal_line.seq),
            _moment(item.seal_line.entry.recorded_at_utc),
        ]
        for item in dossier.records
    ]
    columns = ("record", "entries", "count", "root", "seal", "sealed (UTC)")
    return Table("Records", columns, rows, "There is no seal.")


_ELSEWHERE = frozenset(
    {
        EntryKind.ATTEMPT_TRANSITION,
        EntryKind.ARTIFACT_BOUND,
        EntryKind.GATE_RECEIPT,
        EntryKind.RUN_SEALED,
    }
)


def _moment(recorded: str) -> str:
    return recorded[:19].replace("T", " ")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
