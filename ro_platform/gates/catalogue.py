"""Which gates an asset has, as recorded facts: a code location can add to them, never take away.

A gate that disappears from the code stays on record and goes on to refuse, until dropping it has
been recorded with an actor and a reason. So nobody walks around a gate by deleting it.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from ro_platform import errors
from ro_platform.contracts import EntryKind, GateRule, GateSetDeclared, LedgerEntry
from ro_platform.contracts.base import contract_error
from ro_platform.ledger import names
from ro_platform.ledger.entry import EntryDraft, body_of
from ro_platform.ledger.log import Ledger
from ro_platform.ledger.reader import LedgerReader

Rules = tuple[GateRule, ...]


class GateCatalogue:
    """The gate sets of one environment."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def declare(self, asset: str, gates: Rules, *, actor: str) -> None:
        """Record that the code location that makes an asset gives it these gates, if that is news.

        Gates that other code locations gave it stay. Raises :class:`GateSetShrankError` when one
        of its own is missing.
        """
        own = {rule.gate_id for rule in gates}

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            recorded = _recorded(log, asset)
            if _with_guests(gates, recorded) == recorded:
                return []
            gone = sorted(
                rule.gate_id
                for rule in recorded or ()
                if rule.gate_id not in own and not rule.guest
            )
            if gone:
                raise errors.GateSetShrankError(
                    f"asset {asset!r} no longer declares its gate {gone[0]!r}.",
                    next_step="Declare the gate again, or record that it is dropped: "
                    f"`ro gate drop {gone[0]} --asset {asset} --reason ...`.",
                    asset=asset,
                    gate=gone[0],
                )
            every = _with_guests(gates, recorded)
            return [_draft(GateSetDeclared(asset=asset, gates=every), actor)]

        if (found := self.gates_of(asset)) is None or _with_guests(gates, found) != found:
            self._ledger.append_with(build)

    def amend(self, asset: str, rule: GateRule, *, actor: str) -> None:
        """Record that an asset has this gate, under this rule, beside those on record.

        Raises :class:`GateTakenError` for a guest's gate under the id of one that belongs to the
        code location that makes the asset: its rule would stand in for the other's.
        """

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            recorded = _recorded(log, asset) or ()
            if (gates := _with(rule, recorded)) == recorded:
                return []
            return [_draft(GateSetDeclared(asset=asset, gates=gates), actor)]

        if (found := self.gates_of(asset) or ()) != _with(rule, found):
            self._ledger.append_with(build)

    def drop(self, asset: str, gate_id: str, *, reason: str, actor: str) -> None:
        """Record that an asset no longer has a gate.

        Raises :class:`NotFoundError`, and :class:`ContractError` for a blank reason or no actor.
        """

        def build(log: LedgerReader) -> Sequence[EntryDraft]:
            recorded = _recorded(log, asset) or ()
            left = tuple(rule for rule in recorded if rule.gate_id != gate_id)
            if left == recorded:
                raise errors.NotFoundError(
                    f"asset {asset!r} has no gate {gate_id!r} on record.",
                    next_step="See `ro gate list` for the gates that are.",
                )
            try:
                body = GateSetDeclared(asset=asset, gates=left, reason=reason)
            except ValidationError as error:
                raise contract_error(error, kind="GateSetDeclared", where="gate drop") from None
            return [_draft(body, actor)]

        self._ledger.append_with(build)

    def gates_of(self, asset: str) -> Rules | None:
        """The gates on record, by id; None if the asset never declared any set."""
        return _recorded(self._ledger, asset)

    def assets(self) -> dict[str, Rules]:
        """Every asset's gates on record."""
        sets: dict[str, Rules] = {}
        for entry in self._ledger.scan(kind=EntryKind.GATE_SET_DECLARED):
            declared = declared_in(entry)
            sets[declared.asset] = declared.gates
        return sets


def _recorded(log: LedgerReader, asset: str) -> Rules | None:
    entry = log.latest(EntryKind.GATE_SET_DECLARED, names.asset_name(asset))
    return declared_in(entry).gates if entry else None


def declared_in(entry: LedgerEntry) -> GateSetDeclared:
    """The gate set that an entry of that kind declares."""
    return body_of(entry, GateSetDeclared)


def _with(rule: GateRule, recorded: Rules) -> Rules:
    """The gates on record with this one under its present rule."""
    before = next((item for item in recorded if item.gate_id == rule.gate_id), rule)
    if rule.guest and not before.guest:
        raise errors.GateTakenError(
            f"gate {rule.gate_id!r} belongs to the code location that makes its asset, and another "
            "one declares a gate of that name.",
            next_step="Rename the check in the code location that does not make the asset.",
            gate=rule.gate_id,
        )
    others = [item for item in recorded if item.gate_id != rule.gate_id]
    now = rule.model_copy(update={"guest": before.guest})
    return tuple(sorted((*others, now), key=lambda item: item.gate_id))


def _with_guests(gates: Rules, recorded: Rules | None) -> Rules:
    """An asset's own gates and those on record that other code locations gave it, by id."""
    own = {rule.gate_id for rule in gates}
    guests = [rule for rule in recorded or () if rule.guest and rule.gate_id not in own]
    return tuple(sorted((*gates, *guests), key=lambda rule: rule.gate_id))


def _draft(body: GateSetDeclared, actor: str) -> EntryDraft:
    return EntryDraft(
        kind=EntryKind.GATE_SET_DECLARED,
        subject=names.asset_name(body.asset),
        actor=actor,
        body=body.to_json_value(),
    )
