"""Gate sets as recorded facts: code adds to them, only a recorded decision takes away."""

from __future__ import annotations

import pytest

from ro_platform.contracts import GateRule, GateSetDeclared
from ro_platform.errors import ContractError, GateSetShrankError, NotFoundError
from ro_platform.kernel.canonical import canonical_bytes
from ro_platform.kernel.clock import ManualClock
from ro_platform.plane import Plane

ACTOR = "SYSTEM::dagster"
A = GateRule(gate_id="made.a", code_version="1")
A2 = GateRule(gate_id="made.a", code_version="2")
B = GateRule(gate_id="made.b", code_version="1", configs=("limits",))


@pytest.fixture
def plane() -> Plane:
    return Plane.in_memory(clock=ManualClock())


def test_an_asset_without_a_record_has_no_set_and_an_empty_set_is_one(plane: Plane) -> None:
    """None is unknown; () says that it has no gates."""
    assert plane.gates.gates_of("made") is None
    plane.gates.declare("made", (), actor=ACTOR)
    assert plane.gates.gates_of("made") == ()


def test_declaring_the_same_set_again_records_nothing(plane: Plane) -> None:
    """In whatever order."""
    plane.gates.declare("made", (B, A), actor=ACTOR)
    plane.gates.declare("made", (A, B), actor=ACTOR)
    assert plane.gates.gates_of("made") == (A, B)
    assert plane.ledger.size() == 1


def test_a_gate_is_added_and_a_rule_changes_by_declaring_it(plane: Plane) -> None:
    """Each as an entry; the newest counts."""
    for rules in ((A,), (A, B), (A2, B)):
        plane.gates.declare("made", rules, actor=ACTOR)
        assert plane.gates.gates_of("made") == rules
    assert plane.ledger.size() == 3


@pytest.mark.parametrize("left", [(), (B,)])
def test_a_set_never_shrinks_by_leaving_a_gate_out(
    plane: Plane, left: tuple[GateRule, ...]
) -> None:
    """Refused, naming the gate and the way to drop it; the record stays."""
    plane.gates.declare("made", (A, B), actor=ACTOR)
    with pytest.raises(GateSetShrankError, match=r"'made\.a'.*ro gate drop"):
        plane.gates.declare("made", left, actor=ACTOR)
    assert plane.gates.gates_of("made") == (A, B)


def test_dropping_a_gate_is_recorded_with_actor_and_reason(plane: Plane) -> None:
    """After that the smaller set may be declared."""
    plane.gates.declare("made", (A, B), actor=ACTOR)
    plane.gates.drop("made", "made.a", reason="superseded", actor="HUMAN::boss")
    plane.gates.declare("made", (B,), actor=ACTOR)

    entry = plane.ledger.get(1)
    assert plane.ledger.size() == 2
    assert entry.actor == "HUMAN::boss"
    declared = GateSetDeclared.from_json(canonical_bytes(entry.body))
    assert (declared.gates, declared.reason) == ((B,), "superseded")


def test_dropping_needs_a_gate_on_record_a_reason_and_an_actor(plane: Plane) -> None:
    """Each missing one is refused and records nothing."""
    plane.gates.declare("made", (A,), actor=ACTOR)
    with pytest.raises(NotFoundError):
        plane.gates.drop("made", "made.x", reason="r", actor="HUMAN::boss")
    with pytest.raises(ContractError):
        plane.gates.drop("made", "made.a", reason=" ", actor="HUMAN::boss")
    with pytest.raises(ContractError):
        plane.gates.drop("made", "made.a", reason="r", actor="")
    assert plane.ledger.size() == 1


def test_one_gate_is_amended_beside_the_others(plane: Plane) -> None:
    """Added, changed, or left as it is; never at another gate's cost."""
    plane.gates.declare("made", (B,), actor=ACTOR)
    for rule, expected in ((A, (A, B)), (A, (A, B)), (A2, (A2, B))):
        plane.gates.amend("made", rule, actor=ACTOR)
        assert plane.gates.gates_of("made") == expected
    assert plane.ledger.size() == 3


def test_all_assets_and_their_gates(plane: Plane) -> None:
    """The newest set of each."""
    plane.gates.declare("made", (A,), actor=ACTOR)
    plane.gates.declare("other/one", (), actor=ACTOR)
    plane.gates.declare("made", (A, B), actor=ACTOR)
    assert plane.gates.assets() == {"made": (A, B), "other/one": ()}
