"""Entries in words: one line each, for a person who reads the log."""

from __future__ import annotations

from ro_platform.contracts.base import JsonObject
from ro_platform.contracts.ledger import EntryKind, LedgerEntry


def entry_words(entry: LedgerEntry, *, within_run: bool = False) -> str:
    """One line about an entry, to stand beside its kind.

    ``within_run``: for a page about one run, which has no column of kinds. The line says what
    happened, and leaves out what all of the page is about.
    """
    return _of_run(entry) if within_run else _beside_kind(entry)


def _beside_kind(entry: LedgerEntry) -> str:
    body = entry.body
    match entry.kind:
        case EntryKind.ATTEMPT_TRANSITION:
            return f"{body['unit']} #{body['number']} {body['status']} {body.get('error_code', '')}"
        case EntryKind.GATE_RECEIPT:
            status = "WARN" if body.get("warned") else body["status"]
            return f"{body['gate_id']} {status} on {str(body['subject_digest'])[:12]}"
        case EntryKind.ARTIFACT_BOUND:
            artifact = body["artifact"]
            digest = artifact.get("digest") if isinstance(artifact, dict) else None
            return f"{body['asset']} = {str(digest)[:12]}"
        case EntryKind.PASS_REVOKED:
            digest = str(body["subject_digest"])[:12]
            return f"{body['gate_id']} on {digest}, {body['blocked']} blocked: {body['reason']}"
        case EntryKind.ARTIFACT_BLOCKED:
            return f"{body['asset']} {str(body['manifest_fingerprint'])[:12]}"
        case EntryKind.GATE_SET_DECLARED:
            return f"{body['asset']}: {_gates(body['gates'])}"
        case EntryKind.RUN_REGISTERED:
            return f"{body['workload']} {str(body['manifest_fingerprint'])[:12]}"
        case EntryKind.ARTIFACT_ERASED:
            return f"{str(body['digest'])[:12]}: {body['reason']}"
        case EntryKind.SEGMENT_ARCHIVED:
            return f"{body['count']} entries from {body['first']}"
        case EntryKind.DIRECTIVE_MOVED:
            return f"{entry.subject[:22]} {body['status']}: {body['reason']}"
        case EntryKind.ACCESS_REFUSED:
            who = body.get("actor") or "nobody"
            return f"{who} {body['operation']} {body['code']}"
        case EntryKind.TOKEN_ISSUED:
            return f"for {body['holder']} until {body['expires_at_utc']}: {body['reason']}"
        case EntryKind.ADMIN_EVENT:
            return f"{_action(body)} {entry.subject}: {body['reason']}"
        case _:
            return entry.subject


def _of_run(entry: LedgerEntry) -> str:
    body, kind = entry.body, entry.kind.value.replace("_", " ")
    match entry.kind:
        case EntryKind.ADMIN_EVENT:
            return f"{_action(body)}: {body['reason']}"
        case EntryKind.DIRECTIVE_MOVED:
            return f"{entry.subject} {body['status']}: {body['reason']}"
        case EntryKind.PASS_REVOKED:
            return f"revoked the PASS of {body['gate_id']}: {body['reason']}"
        case EntryKind.ARTIFACT_BLOCKED:
            return f"{body['asset']} blocked by that"
        case EntryKind.RUN_REOPENED:
            return f"record {body['record']} opened: {body['reason']}"
        case EntryKind.RUN_REGISTERED:
            return f"manifest registered for {body['workload']}"
        case EntryKind.CONFIG_PUBLISHED | EntryKind.GATE_SET_DECLARED:
            return f"{entry.subject}: {kind}"
        case _:
            return f"{kind}: {entry.subject}"


def _action(body: JsonObject) -> str:
    """The administrative action, and how it ended unless it is done."""
    result = body.get("result")
    return f"{body['action_type']}" if result == "done" else f"{body['action_type']} {result}"


def _gates(rules: object) -> str:
    names = [str(rule["gate_id"]) for rule in rules] if isinstance(rules, list) else []
    return ", ".join(names) or "no gates"
