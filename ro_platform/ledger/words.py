"""Entries in words: one line each, for a person who reads the log."""

from __future__ import annotations

from ro_platform.contracts.ledger import EntryKind, LedgerEntry


def entry_words(entry: LedgerEntry) -> str:
    """One line about an entry."""
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
            result = "" if body.get("result") == "done" else f" {body.get('result')}"
            return f"{body['action_type']}{result} {entry.subject}: {body['reason']}"
        case _:
            return entry.subject


def _gates(rules: object) -> str:
    names = [str(rule["gate_id"]) for rule in rules] if isinstance(rules, list) else []
    return ", ".join(names) or "no gates"
