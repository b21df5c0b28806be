"""``ro ledger``: read the log, recompute it, and prove one entry to somebody else."""

from __future__ import annotations

import click
from rich.progress import Progress

from ro_platform.cli.output import err, fails_clearly, json_option, moment, out, say_json, table
from ro_platform.config.settings import Settings
from ro_platform.contracts import EntryKind, LedgerEntry
from ro_platform.errors import InvalidInputError
from ro_platform.plane import shared_plane


@click.group()
def command() -> None:
    """Read, verify and prove the ledger."""


@command.command()
@click.option(
    "--kind",
    metavar="KIND",
    type=click.Choice([kind.value for kind in EntryKind]),
    help="Only entries of this kind, such as gate_receipt or pass_revoked.",
)
@click.option("--run", "run_id", help="Only entries about this run_id.")
@click.option("--dagster-run", "dagster_run_id", help="Only entries about this Dagster run.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--all", "everything", is_flag=True, help="No limit.")
@json_option
@fails_clearly
def log(
    kind: str | None,
    run_id: str | None,
    dagster_run_id: str | None,
    limit: int,
    everything: bool,
    as_json: bool,
) -> None:
    """Show the newest entries, in their order."""
    entries = list(
        shared_plane(Settings.load()).ledger.scan(
            kind=EntryKind(kind) if kind else None,
            run_id=run_id,
            dagster_run_id=dagster_run_id,
            newest_first=True,
            limit=None if everything else limit,
        )
    )[::-1]
    if as_json:
        say_json([entry.to_json_value() for entry in entries])
        return
    table(
        ["seq", "recorded (UTC)", "kind", "actor", "what"],
        [
            [str(item.seq), moment(item.recorded_at_utc), item.kind.value, item.actor, _words(item)]
            for item in entries
        ],
        empty="The ledger has no such entry.",
    )


@command.command()
@click.option(
    "--against",
    metavar="SIZE:ROOT",
    help="A size and root (hex) kept elsewhere, which the ledger must extend.",
)
@json_option
@fails_clearly
def verify(against: str | None, as_json: bool) -> None:
    """Recompute the whole Merkle tree from the stored entries."""
    ledger = shared_plane(Settings.load()).ledger
    with Progress(console=err, transient=True) as progress:
        task = progress.add_task("verifying", total=None)
        verification = ledger.verify(
            lambda done, total: progress.update(task, completed=done, total=total),
            against=_size_and_root(against) if against else None,
        )
    facts = {"size": verification.size, "root": verification.root.hex(), "verified": True}
    if as_json:
        say_json(facts)
        return
    out.print(f"[green]verified[/green]: {facts['size']} entries, root {facts['root']}")
    if against is None:
        out.print("Keep size and root elsewhere: only they can show a cut or rewritten tail.")


@command.command()
@click.argument("seq", type=click.IntRange(min=0))
@click.option("--size", type=click.IntRange(min=1), help="Under the root of that size.")
@json_option
@fails_clearly
def prove(seq: int, size: int | None, as_json: bool) -> None:
    """Prove that entry SEQ is in the log: its bytes, the sibling hashes, and the root.

    Anyone can check it with SHA-256 and RFC 9162.
    """
    ledger = shared_plane(Settings.load()).ledger
    entry, proof = ledger.get(seq), ledger.inclusion_proof(seq, size)
    if as_json:
        say_json({"entry": entry.to_json_value(), "proof": proof.to_json_value()})
        return
    out.print(f"entry {seq} of {proof.size}: {_words(entry)}", markup=False)
    out.print(f"leaf  {proof.leaf}")
    for level, step in enumerate(proof.path):
        out.print(f"path {level:>2} {step}")
    out.print(f"root  {proof.root}")


def _words(entry: LedgerEntry) -> str:
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
        case EntryKind.ADMIN_EVENT:
            return f"{body['action_type']} {entry.subject}: {body['reason']}"
        case _:
            return entry.subject


def _gates(rules: object) -> str:
    names = [str(rule["gate_id"]) for rule in rules] if isinstance(rules, list) else []
    return ", ".join(names) or "no gates"


def _size_and_root(text: str) -> tuple[int, bytes]:
    count, _, root = text.partition(":")
    try:
        return int(count), bytes.fromhex(root)
    except ValueError:
        raise InvalidInputError(
            f"{text!r} is not SIZE:ROOT.",
            next_step="Give what `ro ledger verify --json` printed earlier, as 120:9f2c...",
        ) from None
